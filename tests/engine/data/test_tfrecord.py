"""Records: what declared features become, and that each defect is told by record and feature."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.read import read
from secateur.errors import RecordsUnusable, UploadRefused
from secateur.specs.reading import Reading
from tests.engine.data.test_images import picture

RAW = {"pixels": {"encoding": "raw", "shape": [2, 3], "dtype": "uint8"}, "label": {"dtype": "int64"}}


def feature(value: Any) -> Any:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))


def record_file(folder: Path, records: list[dict[str, Any]]) -> Path:
    path = folder / "digits.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            features = tf.train.Features(feature={name: feature(value) for name, value in record.items()})
            writer.write(tf.train.Example(features=features).SerializeToString())
    return path


def raw(count: int = 10) -> list[dict[str, Any]]:
    return [{"pixels": bytes(range(n, n + 6)), "label": [n % 2]} for n in range(count)]


def test_raw_bytes_become_samples_of_the_declared_shape(tmp_path: Path) -> None:
    contents = read(record_file(tmp_path, raw()), Reading.model_validate({"features": RAW}))

    train = contents.splits["train"]
    assert train.x.shape == (8, 2, 3)
    assert train.x.dtype == np.uint8
    assert all(x.ravel()[0] % 2 == y for x, y in zip(train.x[:], train.y, strict=True))


def test_lists_images_text_and_splits_are_read(tmp_path: Path) -> None:
    records = [
        {"image": picture(n, (4, 4)), "extra": [0.5], "kind": [b"cat", b"dog"][n % 2], "part": part.encode()}
        for n, part in enumerate(["train", "train", "test", "val"])
    ]
    reading = {
        "features": {"image": {"encoding": "image"}, "kind": {"encoding": "text"}, "part": {"encoding": "text"}},
        "label": "kind",
        "split": "part",
        "color": "grayscale",
    }

    contents = read(record_file(tmp_path, records), Reading.model_validate(reading))

    assert contents.classes == ("cat", "dog")
    found = {name: (split.x[:, 0, 0, 0].tolist(), split.y.tolist()) for name, split in contents.splits.items()}
    assert found == {"train": ([0, 1], [0, 1]), "test": ([2], [0]), "validation": ([3], [1])}


@pytest.mark.parametrize(
    ("changed", "declared", "told"),
    [
        ({"label": [1]}, {}, "Record 4, feature 'pixels' is not there; the record has label"),
        ({"pixels": b"12345", "label": [1]}, {}, "Record 4, feature 'pixels' has 5 bytes; 6 were declared"),
        ({"pixels": bytes(6), "label": [1, 2]}, {}, "Record 4, feature 'label' holds 2 values; 1 were declared"),
        ({"pixels": bytes(6), "label": [0.5]}, {}, "Record 4, feature 'label' holds floats; whole numbers"),
        (
            {"pixels": bytes(6), "label": [300]},
            {"dtype": "uint8"},
            "Record 4, feature 'label' holds numbers that uint8",
        ),
    ],
)
def test_a_record_that_does_not_hold_what_was_declared_is_named(
    tmp_path: Path, changed: dict[str, Any], declared: dict[str, Any], told: str
) -> None:
    records = raw()
    records[3] = changed
    features = RAW | {"label": RAW["label"] | declared}

    with pytest.raises(UploadRefused, match=told) as caught:
        read(record_file(tmp_path, records), Reading.model_validate({"features": features}))

    assert caught.value.code == "records_unusable"


@pytest.mark.parametrize(
    ("reading", "field"),
    [
        ({}, "features"),
        ({"features": RAW, "label": "digit"}, "label"),
        ({"features": RAW, "sample": "image"}, "sample"),
        ({"features": {"label": {}}}, "sample"),
        ({"features": RAW, "split": "part"}, "split"),
    ],
)
def test_what_is_missing_of_the_declaration_is_named(tmp_path: Path, reading: dict[str, Any], field: str) -> None:
    with pytest.raises(UploadRefused) as caught:
        read(record_file(tmp_path, raw()), Reading.model_validate(reading))

    assert (caught.value.code, caught.value.errors[0].field) == ("reading_mismatch", field)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_file_cut_or_changed_anywhere_is_refused_in_our_words(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = record_file(tmp_path_factory.mktemp("records"), raw())
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)

    with suppress(UploadRefused):
        read(path, Reading.model_validate({"features": RAW}))


def test_features_go_to_the_inputs_that_are_declared(tmp_path: Path) -> None:
    records = [record | {"size": [float(n)]} for n, record in enumerate(raw())]
    features = RAW | {"size": {"shape": [1]}}
    reading = Reading.model_validate({"features": features, "inputs": {"big": "size", "image": "pixels"}})

    train = read(record_file(tmp_path, records), reading).splits["train"].x

    assert train.names == ("big", "image")
    assert (train.named("image")[:].reshape(8, 6)[:, 0] == train.named("big")[:, 0]).all()


@pytest.mark.parametrize(
    ("declared", "field"),
    [({"inputs": {"image": "label"}}, "inputs.image"), ({"inputs": {"a": "pixels"}, "sample": "pixels"}, "sample")],
)
def test_inputs_that_cannot_be_read_are_told_by_name(declared: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(UploadRefused) as caught:
        read(record_file(tmp_path, raw()), Reading.model_validate({"features": RAW} | declared))

    assert caught.value.errors[0].field == field


def test_a_shape_that_no_record_can_hold_is_refused_before_room_is_made_for_it(tmp_path: Path) -> None:
    """TensorFlow would make room for 256 records of it, 4 TB, before it looks at the first."""
    features = {"image": {"encoding": "list", "shape": [1 << 32], "dtype": "int64"}, "label": {"dtype": "int64"}}
    path = record_file(tmp_path, [{"image": [1, 2], "label": [number % 2]} for number in range(4)])

    with pytest.raises(RecordsUnusable, match="declared with 4294967296 values"):
        read(path, Reading.model_validate({"features": features}))
