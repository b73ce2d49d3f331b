"""Arrays that hypothesis spoils: each defect has its own error, and it names the array and where in it.

Good sets of any shape and dtype come first: what is refused below is refused for its defect alone.
"""

import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.read import read
from engine.data.summary import summarise
from secateur.errors import UploadRefused
from secateur.specs.reading import Reading

Arrays = dict[str, np.ndarray]

DTYPES = ["?", "<i1", ">i2", "<i4", "<i8", "<u1", ">u2", "<u8", "<f2", ">f4", "<f8"]


@st.composite
def good_arrays(draw: st.DrawFn) -> Arrays:
    """Samples of one shape and classes, every class in every split."""
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    dtype = draw(st.sampled_from(DTYPES))
    parts = ("train", "test", "val") if draw(st.booleans()) else ("train", "test")
    arrays: Arrays = {}
    for part in parts:
        count = draw(st.integers(2, 6))
        samples = np.arange(count * int(np.prod(shape))) % 2
        arrays[f"x_{part}"] = np.asarray(
            samples.reshape(count, *shape).astype(dtype), order=draw(st.sampled_from("CF"))
        )
        arrays[f"y_{part}"] = np.arange(count) % 2
    return arrays


def written(path: Path, arrays: Arrays, *, packed: bool) -> Path:
    (np.savez_compressed if packed else np.savez)(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("npz")


@settings(max_examples=60, deadline=None)
@given(good_arrays(), st.booleans())
def test_good_arrays_are_read_as_numpy_reads_them(folder: Path, arrays: Arrays, packed: bool) -> None:
    splits = read(written(folder / "good.npz", arrays, packed=packed), Reading()).splits

    for part in splits:
        wanted = arrays[f"x_{part if part != 'validation' else 'val'}"]
        assert np.array_equal(splits[part].x[:], wanted)
        assert np.array_equal(splits[part].y, np.arange(len(wanted)) % 2)


def _without(arrays: Arrays, name: str) -> None:
    del arrays[name]


def _shorter(arrays: Arrays, name: str) -> None:
    arrays[name] = arrays[name][:-1]


def _pickled(arrays: Arrays, name: str) -> None:
    arrays[name] = np.array([{"a": 1}] * len(arrays[name]), dtype=object)


def _text(arrays: Arrays, name: str) -> None:
    arrays[name] = arrays[name].astype("U4")


def _complex(arrays: Arrays, name: str) -> None:
    arrays[name] = arrays[name].astype("c16")


def _empty(arrays: Arrays, name: str) -> None:
    letter, part = name.split("_")
    arrays[name] = arrays[name][:0]
    other = f"{'y' if letter == 'x' else 'x'}_{part}"
    arrays[other] = arrays[other][:0]


def _flat(arrays: Arrays, name: str) -> None:
    arrays[name] = arrays[name].reshape(len(arrays[name]), -1)[:, 0]


def _wider(arrays: Arrays, name: str) -> None:
    arrays[name] = np.stack([arrays[name]] * 2, axis=-1)


def _not_finite(arrays: Arrays, name: str) -> None:
    arrays[name] = arrays[name].astype("f8")
    arrays[name].flat[-1] = np.nan


def _negative(arrays: Arrays, name: str) -> None:
    arrays[name] = arrays[name] - 1


def _past_all_classes(arrays: Arrays, name: str) -> None:
    arrays[name] = arrays[name] + 2**40


Spoil = Callable[[Arrays, str], None]
DEFECTS: list[tuple[Spoil, str, str]] = [
    (_without, "xy", "dataset_array_missing"),
    (_shorter, "xy", "dataset_lengths_differ"),
    (_pickled, "xy", "dataset_pickled"),
    (_text, "xy", "dataset_array_unusable"),
    (_complex, "xy", "dataset_array_unusable"),
    (_empty, "xy", "dataset_array_unusable"),
    (_flat, "x", "dataset_array_unusable"),
    (_wider, "x", "dataset_array_unusable"),
    (_not_finite, "xy", "dataset_not_finite"),
    (_negative, "y", "dataset_labels_invalid"),
    (_past_all_classes, "y", "dataset_labels_invalid"),
]
"""What is done to one array, to which kind of array, and the code of the error that must come."""


@pytest.mark.parametrize(("spoil", "letters", "code"), DEFECTS, ids=[spoil.__name__[1:] for spoil, _, _ in DEFECTS])
@settings(max_examples=12, deadline=None)
@given(st.data(), good_arrays(), st.booleans())
def test_each_defect_has_its_error_and_the_array_is_named(
    folder: Path, spoil: Spoil, letters: str, code: str, data: st.DataObject, arrays: Arrays, packed: bool
) -> None:
    name = data.draw(st.sampled_from([name for name in arrays if name[0] in letters]))
    spoil(arrays, name)

    with pytest.raises(UploadRefused) as refused:
        read(written(folder / "bad.npz", arrays, packed=packed), Reading())

    part = name.split("_")[1]
    assert refused.value.code == code
    assert part in f"{refused.value.detail} {refused.value.errors}"
    assert refused.value.suggestions


@settings(max_examples=80, deadline=None)
@given(st.data(), good_arrays(), st.booleans())
def test_a_file_with_other_bytes_is_read_or_refused_in_our_words(
    folder: Path, data: st.DataObject, arrays: Arrays, packed: bool
) -> None:
    path = written(folder / "mutant.npz", arrays, packed=packed)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])

    with suppress(UploadRefused):
        summarise(read(path, Reading()), Reading())


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_header_with_other_bytes_is_read_or_refused_in_our_words(folder: Path, data: st.DataObject) -> None:
    """The archive is sound, so that the header itself is what is looked at."""
    path = folder / "header.npz"
    np.savez(path, x_train=np.ones((4, 2)), y_train=np.arange(4) % 2, x_test=np.ones((4, 2)), y_test=np.arange(4) % 2)
    with zipfile.ZipFile(path) as archive:
        members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    spoiled = members[data.draw(st.sampled_from(sorted(members)))]
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(0, 127))] = data.draw(st.sampled_from(b"0123456789(),<>|fiuO'{}: \x00\xff"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, bytes(member))

    with suppress(UploadRefused):
        summarise(read(path, Reading()), Reading())
