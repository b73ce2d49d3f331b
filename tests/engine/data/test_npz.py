from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.labels import label_kind
from engine.data.read import read
from engine.data.rows import HELD_BYTES, Rows
from engine.data.split import split
from engine.data.summary import summarise
from secateur.errors import DatasetLabelsInvalid, DatasetNotFinite, UploadRefused
from secateur.specs.reading import Reading


def write(path: Path, **arrays: np.ndarray) -> Path:
    defaults = {
        "x_train": np.zeros((10, 4), np.float32),
        "y_train": np.arange(10) % 3,
        "x_test": np.ones((5, 4), np.float32),
        "y_test": np.arange(5) % 3,
    }
    np.savez(path, **(defaults | arrays))
    return path


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_number_that_is_none_is_found_and_its_sample_named(tmp_path: Path, bad: float) -> None:
    x = np.zeros((5000, 4))
    x[4321, 2] = bad
    path = write(tmp_path / "d.npz", x_train=x, y_train=np.zeros(5000, int))

    with pytest.raises(DatasetNotFinite, match=r"x_train .* sample 4321"):
        read(path, Reading())


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        pytest.param(np.array([0, 2, 1]), "classes", id="integers"),
        pytest.param(np.array([[0], [2], [1]], np.uint8), "classes", id="a column of integers"),
        pytest.param(np.array([True, False, True]), "classes", id="booleans"),
        pytest.param(np.array([[0, 1], [1, 0]]), "one_hot", id="one-hot integers"),
        pytest.param(np.array([[0.0, 1.0], [1.0, 0.0]]), "one_hot", id="one-hot floats"),
        pytest.param(np.array([0.0, 1.0, 2.0]), "values", id="floats"),
        pytest.param(np.array([[0.2, 0.8], [1.0, 0.0]]), "values", id="rows of floats"),
        pytest.param(np.array([[1, 1], [1, 0]]), "multi_label", id="rows with several ones"),
    ],
)
def test_labels_are_taken_for_what_they_look_like(labels: np.ndarray, kind: str) -> None:
    assert label_kind([labels]) == kind


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param([np.array([0, 1]), np.array([0.0, 1.5])], id="classes in one split, floats in another"),
        pytest.param([np.zeros((3, 2)), np.zeros((3, 4))], id="other widths"),
    ],
)
def test_labels_that_make_no_sense_are_refused(labels: list[np.ndarray]) -> None:
    with pytest.raises(DatasetLabelsInvalid):
        label_kind(labels)


def test_the_held_out_split_is_seeded_and_disjoint(tmp_path: Path) -> None:
    """Validation samples must never be trained on, and the same seed must give the same job."""
    contents = read(write(tmp_path / "d.npz", x_train=np.arange(40, dtype=np.float32).reshape(10, 4)), Reading())

    one, same, other = (split(contents, validation_share=0.3, seed=seed) for seed in (1, 1, 2))

    assert len(one.validation) == 3
    assert len(one.train) == 7
    assert sorted([*one.train.x[:, 0], *one.validation.x[:, 0]]) == list(range(0, 40, 4))
    assert np.array_equal(one.validation.x, same.validation.x)
    assert not np.array_equal(one.validation.x, other.validation.x)


def test_a_validation_split_of_the_users_own_is_used_as_it_is(tmp_path: Path) -> None:
    contents = read(write(tmp_path / "d.npz", x_val=np.full((2, 4), 7.0), y_val=np.array([1, 2])), Reading())

    data = split(contents, validation_share=0.3, seed=0)

    assert not data.held_out
    assert len(data.train) == 10
    assert (data.validation.x == 7).all()


def test_whoever_has_a_validation_split_alone_is_told_to_test_with_it(tmp_path: Path) -> None:
    arrays = {
        "x_train": np.zeros((4, 2)),
        "y_train": np.arange(4) % 2,
        "x_val": np.zeros((2, 2)),
        "y_val": np.arange(2),
    }
    np.savez(tmp_path / "d.npz", **arrays)

    with pytest.raises(UploadRefused, match="lacks x_test, y_test") as caught:
        read(tmp_path / "d.npz", Reading())

    assert "Name x_val and y_val x_test and y_test" in caught.value.suggestions[0]


def test_the_summary_counts_splits_and_classes(tmp_path: Path) -> None:
    contents = read(write(tmp_path / "d.npz", y_train=np.arange(10) % 5), Reading())

    summary = summarise(contents, Reading())

    assert summary.num_classes == 5
    assert summary.sample_shape == (4,)
    assert (summary.sample_min, summary.sample_max) == (0.0, 1.0)
    assert {name: split.num_samples for name, split in summary.splits.items()} == {"train": 10, "test": 5}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["as it lies", "packed"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_stays_in_its_file_and_reads_the_same(tmp_path: Path, save: Any, order: Any) -> None:
    """Sixty-four MiB and more are never held; what is read of them is what NumPy would read."""
    x = np.zeros((HELD_BYTES // 4096 + 1, 2048), np.uint16)
    x[:, ::16] = np.random.default_rng(0).integers(0, 2**12, (len(x), 128))  # all of it random would pack for seconds
    x = np.asarray(x.reshape(-1, 32, 64), order=order)
    y = np.arange(len(x)) % 3
    save(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])

    train = read(tmp_path / "d.npz", Reading()).splits["train"]

    assert isinstance(train.x, Rows)
    assert train.x.shape == x.shape
    assert np.array_equal(train.x[7:9], x[7:9])
    assert np.array_equal(train.x[np.array([9000, 3, -1])], x[[9000, 3, -1]])
    assert isinstance(read(tmp_path / "d.npz", Reading()).splits["test"].x, np.ndarray)


def test_the_file_of_an_open_data_set_may_be_deleted(tmp_path: Path) -> None:
    x = np.ones((HELD_BYTES // 1000, 1100), np.uint8)
    train = read(write(tmp_path / "d.npz", x_train=x, y_train=np.arange(len(x)) % 3, x_test=x[:5]), Reading()).splits[
        "train"
    ]

    (tmp_path / "d.npz").unlink()

    assert train.x[-1:].all()


def test_a_label_that_no_class_has_is_no_class(tmp_path: Path) -> None:
    """2**64 - 1 would become -1."""
    y = np.zeros(10, np.uint64)
    y[3] = 2**64 - 1
    path = write(tmp_path / "d.npz", y_train=y)

    with pytest.raises(DatasetLabelsInvalid, match="Label 3 of y_train is 18446744073709551615"):
        split(read(path, Reading()), validation_share=0.1, seed=0)


def test_arrays_are_named_after_the_inputs_of_a_model(tmp_path: Path) -> None:
    """Packed or not, each input keeps its own type."""
    left, words = np.arange(12.0, dtype=np.float32).reshape(6, 2), np.arange(6)[:, None]
    arrays = {"x_train.words": words, "x_train.left": left, "x_test.left": left, "x_test.words": words}
    labels = {"y_train": np.arange(6) % 2, "y_test": np.arange(6) % 2}
    path = tmp_path / "sides.npz"
    np.savez(path, **arrays, **labels)

    contents = read(path, Reading())

    train = contents.splits["train"].x
    assert train.names == ("words", "left")
    assert (train.named("left")[:] == left).all()
    assert train.named("words").dtype == words.dtype
    summary = summarise(contents, Reading())
    assert [(name, info.shape, info.max) for name, info in summary.inputs.items()] == [
        ("words", (1,), 5.0),
        ("left", (2,), 11.0),
    ]


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"x_test.left": None}, "dataset_array_missing", "x_test.left"),
        ({"x_train.left": np.zeros((5, 2))}, "dataset_lengths_differ", "x_train.left has 5"),
        ({"x_train": np.zeros((6, 2))}, "dataset_array_unusable", "x_train and x_train."),
        ({"x_test.left": np.zeros((6, 3))}, "dataset_array_unusable", r"x_test.left have shape \(3,\)"),
        ({"x_train.left": np.full((6, 2), np.nan)}, "dataset_not_finite", "x_train.left"),
    ],
)
def test_defects_of_one_input_name_its_array(change: dict[str, Any], code: str, told: str, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        f"x_{split}.{name}": np.ones((6, 2)) for split in ("train", "test") for name in ("up", "left")
    }
    arrays |= {"y_train": np.arange(6) % 2, "y_test": np.arange(6) % 2} | change
    path = tmp_path / "sides.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})

    with pytest.raises(UploadRefused, match=told) as caught:
        read(path, Reading())

    assert caught.value.code == code
