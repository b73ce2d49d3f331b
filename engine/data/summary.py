"""A data set in a few facts: what the gateway holds a spec against."""

from collections.abc import Iterator, Sequence

from engine.arrays import Array
from engine.data.rows import Stored, pieces, stored_parts
from engine.data.split import Contents
from engine.parts import Parts
from secateur.reports.summaries import DatasetSummary, LabelInfo, LabelKind, SampleInfo, SplitInfo
from secateur.specs.reading import Reading


def summarise(contents: Contents, reading: Reading) -> DatasetSummary:
    """What a file holds; reads every sample once."""
    splits = contents.splits
    train = splits["train"]
    infos = [_info(arrays) for arrays in zip(*(stored_parts(split.x) for split in splits.values()), strict=True)]
    names = train.x.names if isinstance(train.x, Parts) else ()
    first = infos[0]
    outputs = dict(_labels(contents))
    labels = next(iter(outputs.values()))
    return DatasetSummary(
        format=contents.format,
        splits={name: SplitInfo(num_samples=len(split)) for name, split in splits.items()},
        sample_shape=first.shape,
        sample_dtype=first.dtype,
        sample_min=first.min,
        sample_max=first.max,
        label_shape=labels.shape,
        label_dtype=labels.dtype,
        label_kind=labels.kind,
        num_classes=labels.num_classes,
        classes=contents.classes,
        tested_on=contents.tested_on,
        scale=reading.scale,
        inputs=dict(zip(names, infos, strict=True)) if names else {},
        outputs=outputs if contents.label_kinds else {},
    )


def _info(arrays: Sequence[Stored]) -> SampleInfo:
    """Of what all splits store for one input."""
    ranges = [(piece.min(), piece.max()) for stored in arrays for _, piece in pieces(stored)]
    return SampleInfo(
        shape=arrays[0].shape[1:],
        dtype=str(arrays[0].dtype),
        min=float(min(low for low, _ in ranges)),
        max=float(max(high for _, high in ranges)),
    )


def _labels(contents: Contents) -> Iterator[tuple[str, LabelInfo]]:
    """What labels are, by output; of an empty name where they are of one output only."""
    for name, kind in (contents.label_kinds or {"": contents.label_kind}).items():
        ys = [split.y.named(name) if isinstance(split.y, Parts) else split.y for split in contents.splits.values()]
        dtype = contents.label_dtypes.get(name, contents.label_dtype)
        yield (
            name,
            LabelInfo(shape=ys[0].shape[1:], dtype=dtype, kind=kind, num_classes=_num_classes(kind, ys, contents)),
        )


def _num_classes(kind: LabelKind, ys: Sequence[Array], contents: Contents) -> int | None:
    match kind:
        case "classes":
            return len(contents.classes) or 1 + max(int(y.max()) for y in ys)
        case "one_hot" | "multi_label":
            return int(ys[0].shape[1])
        case "values":
            return None
