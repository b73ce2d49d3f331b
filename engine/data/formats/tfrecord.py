"""``.tfrecord``: records of ``tf.train.Example``, whose features are declared. Parsed once, in pieces, to rows."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.arrays import Array
from engine.data.formats.images import decode
from engine.data.formats.pool import SPLITS, divide
from engine.data.formats.writing import SamplesWriter
from engine.data.labels import as_declared, encode_labels, label_kind
from engine.data.split import Contents
from screening.datasets.tfrecord import check_lengths
from secateur.errors import DatasetNotFinite, FieldError, RecordsUnusable
from secateur.specs.reading import Feature, Reading, sample_features

BATCH: Final = 256
"""Records parsed at a time."""

LISTS: Final = {"bytes_list": "bytes", "float_list": "floats", "int64_list": "whole numbers"}


def read(path: Path, reading: Reading) -> Contents:
    """The splits of a file of records.

    Raises:
        RecordsUnusable, ImagesUnusable, DatasetNotFinite, DatasetLabelsInvalid, DatasetSplitEmpty: what and where.
    """
    inputs = sample_features(reading)
    _check_shapes(path, reading.features)
    labels, splits, row = list[Array](), list[str](), 0
    with SamplesWriter() as writer:
        for parsed in _batches(path, reading.features):
            samples = {name: _sample(parsed, at, name, writer, reading, row) for name, at in inputs.items()}
            writer.append(samples)
            labels.append(_values(parsed[reading.label], reading.label, reading, first=row))
            if reading.split is not None:
                splits += _split_names(parsed[reading.split], reading.split, first=row)
            row += len(labels[-1])
        if row == 0:
            raise RecordsUnusable("The file has no records.", suggestions=["Check how it was written."])
        stored = writer.finish()
    raw = np.concatenate(labels)
    y, classes = as_declared(raw, reading, where=lambda at: f"The label in record {at + 1}, feature {reading.label!r},")
    kind = label_kind([y], reading.labels)
    found = divide(stored, encode_labels(y, kind), splits=np.array(splits) if splits else None, reading=reading)
    return Contents("tfrecord", found, kind, "text" if raw.dtype.kind == "U" else str(raw.dtype), classes)


def _check_shapes(path: Path, features: Mapping[str, Feature]) -> None:
    """TensorFlow makes room for what is declared before it looks at what is there: a byte for each number at least."""
    with path.open("rb") as file:
        longest = check_lengths(file)
    for name, feature in features.items():
        count = math.prod(feature.shape)
        if count > longest:
            raise _unusable(0, name, f"was declared with {count} values; the longest record has {longest} bytes")


def _sample(
    parsed: Mapping[str, Array], feature: str, name: str, writer: SamplesWriter, reading: Reading, row: int
) -> Array:
    """What the feature holds for an input, of the same shape as before."""
    x, before = _values(parsed[feature], feature, reading, first=row), writer.shape_of(name)
    if before not in (None, x.shape[1:]):
        raise _unusable(row, feature, f"has shape {x.shape[1:]}, earlier ones {before}")
    return x


def _batches(path: Path, features: Mapping[str, Feature]) -> Iterator[dict[str, Array]]:
    import tensorflow as tf

    specs = {name: tf.io.FixedLenFeature(*_stored_as(feature)) for name, feature in features.items()}
    row = 0
    for records in _records(path):
        try:
            parsed = tf.io.parse_example(tf.constant(records), specs)
        except (tf.errors.InvalidArgumentError, ValueError) as fault:
            raise _blamed(records, features, row) from fault
        yield {name: values.numpy() for name, values in parsed.items()}
        row += len(records)


def _stored_as(feature: Feature) -> tuple[tuple[int, ...], Any]:
    import tensorflow as tf

    if feature.encoding != "list":
        return (), tf.string
    return feature.shape, tf.float32 if feature.dtype.startswith("float") else tf.int64


def _records(path: Path) -> Iterator[list[bytes]]:
    import tensorflow as tf

    count, batch = 0, list[bytes]()
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            batch.append(record)
            count += 1
            if len(batch) == BATCH:
                yield batch
                batch = []
    except tf.errors.DataLossError as fault:
        raise RecordsUnusable(
            f"Record {count + 1} is cut short or damaged: its checksum does not fit.",
            suggestions=["Write the file again, or upload it again if it is whole on your side."],
        ) from fault
    if batch:
        yield batch


def _blamed(records: Iterable[bytes], features: Mapping[str, Feature], first: int) -> RecordsUnusable:
    """The first record that does not hold what was declared."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    for row, record in enumerate(records, start=first):
        try:
            held = tf.train.Example.FromString(record).features.feature
        except DecodeError:
            return RecordsUnusable(
                f"Record {row + 1} is no tf.train.Example.", suggestions=["Write serialised tf.train.Example messages."]
            )
        for name, feature in features.items():
            wrong = _wrong(held, name, feature)
            if wrong is not None:
                return _unusable(row, name, wrong)
    return RecordsUnusable("The records do not hold what was declared.", suggestions=["Compare features with them."])


def _wrong(held: Any, name: str, feature: Feature) -> str | None:
    if name not in held:
        return f"is not there; the record has {', '.join(sorted(held)[:10]) or 'none'}"
    found = held[name].WhichOneof("kind")
    if found is None:
        return "is empty"
    if feature.encoding != "list":
        wanted, count = "bytes_list", 1
    else:
        wanted = "float_list" if feature.dtype.startswith("float") else "int64_list"
        count = int(np.prod(feature.shape, dtype=np.int64))
    length = len(getattr(held[name], found).value)
    if found != wanted:
        return f"holds {LISTS[found]}; {LISTS[wanted]} were declared"
    return None if length == count else f"holds {length} values; {count} were declared"


def _values(parsed: Array, name: str, reading: Reading, *, first: int) -> Array:
    """What a feature holds in some records, in its declared type."""
    feature = reading.features[name]
    match feature.encoding:
        case "image":
            images = [decode(data, f"record {first + at + 1}, {name}", reading) for at, data in enumerate(parsed)]
            for at, image in enumerate(images):
                if image.shape != images[0].shape:
                    what = f"is an image of shape {image.shape}, earlier ones of {images[0].shape}: declare image_size"
                    raise _unusable(first + at, name, what)
            return np.stack(images)
        case "text":
            return np.array([_text(data, name, first + at) for at, data in enumerate(parsed)], np.str_)
        case "raw":
            values = np.stack([_raw(data, name, feature, first + at) for at, data in enumerate(parsed)])
        case "list":
            values = np.asarray(parsed).astype(feature.dtype)
            changed = np.flatnonzero((values != parsed).reshape(len(parsed), -1).any(axis=1))
            if feature.dtype[:5] != "float" and len(changed):
                raise _unusable(first + int(changed[0]), name, f"holds numbers that {feature.dtype} cannot")
    _check_finite(values, name, first)
    return values


def _check_finite(values: Array, name: str, first: int) -> None:
    if values.dtype.kind != "f":
        return
    bad = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max).reshape(len(values), -1).all(axis=1))
    if len(bad):
        raise DatasetNotFinite(
            f"Record {first + int(bad[0]) + 1}, feature {name!r} holds NaN, infinity or a number too large.",
            suggestions=["Remove or repair such records: every value must be a finite float32."],
        )


def _raw(data: bytes, name: str, feature: Feature, row: int) -> Array:
    dtype = np.dtype(feature.dtype).newbyteorder("<")
    wanted = int(np.prod(feature.shape, dtype=np.int64)) * dtype.itemsize
    if len(data) != wanted:
        raise _unusable(row, name, f"has {len(data)} bytes; {wanted} were declared ({feature.dtype} {feature.shape})")
    return np.frombuffer(data, dtype).reshape(feature.shape).astype(feature.dtype)


def _text(data: bytes, name: str, row: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as fault:
        raise _unusable(row, name, "is no text in UTF-8") from fault


def _split_names(parsed: Array, name: str, *, first: int) -> list[str]:
    found = [_text(data, name, first + at).lower() for at, data in enumerate(parsed)]
    for at, split in enumerate(found):
        if split not in SPLITS:
            raise _unusable(first + at, name, f"is {split[:40]!r}; train, val or test was expected")
    return [SPLITS[split] for split in found]


def _unusable(row: int, feature: str, what: str) -> RecordsUnusable:
    return RecordsUnusable(
        f"Record {row + 1}, feature {feature!r} {what}.",
        errors=[FieldError(field=f"features.{feature}", messages=(what,))],
        suggestions=["Declare in features what the records hold, or write them so."],
    )
