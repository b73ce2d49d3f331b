"""A data set in a few facts: what the gateway holds a spec against."""

from engine.data.rows import pieces
from engine.data.split import Contents
from jobspec.reading import Reading
from jobspec.summaries import DatasetSummary, SplitInfo


def summarise(contents: Contents, reading: Reading) -> DatasetSummary:
    """What a file holds; reads every sample once."""
    splits = contents.splits
    train = splits["train"]
    ranges = [(piece.min(), piece.max()) for split in splits.values() for _, piece in pieces(split.x)]
    return DatasetSummary(
        format=contents.format,
        splits={name: SplitInfo(num_samples=len(split)) for name, split in splits.items()},
        sample_shape=train.x.shape[1:],
        sample_dtype=str(train.x.dtype),
        sample_min=float(min(low for low, _ in ranges)),
        sample_max=float(max(high for _, high in ranges)),
        label_shape=train.y.shape[1:],
        label_dtype=contents.label_dtype,
        label_kind=contents.label_kind,
        num_classes=_num_classes(contents),
        classes=contents.classes,
        scale=reading.scale,
    )


def _num_classes(contents: Contents) -> int | None:
    match contents.label_kind:
        case "classes":
            return len(contents.classes) or 1 + max(int(split.y.max()) for split in contents.splits.values())
        case "one_hot" | "multi_label":
            return int(contents.splits["train"].y.shape[1])
        case "values":
            return None
