"""The rules of ``.npz`` data sets, checked on the headers of their arrays: 128 bytes or so of each are read."""

import math
from collections.abc import Mapping
from typing import Final

from jobspec.errors import (
    ArchiveUnreadable,
    DatasetArrayMissing,
    DatasetArrayUnusable,
    DatasetLengthsDiffer,
    DatasetPickled,
    FieldError,
)
from screening.archive import Archive
from screening.npy import NUMERIC_KINDS, ArrayHeader, read_header

REQUIRED: Final[tuple[str, ...]] = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL: Final[tuple[str, ...]] = ("x_val", "y_val")
SPLITS: Final = ("train", "test", "val")

_SAVEZ: Final = 'numpy.savez("data.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)'


def check(archive: Archive) -> None:
    """Check the members of an ``.npz`` and the arrays that a job will use.

    Raises:
        ArchiveUnreadable, ArchiveUnsafe: a member is no array, or another one than its header says.
        DatasetPickled: an array holds Python objects. DatasetArrayMissing: one of the required arrays is not there.
        DatasetLengthsDiffer: a split has not as many samples as labels. DatasetArrayUnusable: see the detail.
    """
    headers = {name: _header(archive, f"{name}.npy") for name in _names(archive)}
    _check_names(headers)
    arrays = {name: headers[name] for name in (*REQUIRED, *OPTIONAL) if name in headers}
    for name, header in arrays.items():
        _check_array(name, header)
    for split in SPLITS:
        if f"x_{split}" in arrays:
            _check_lengths(split, arrays)
    _check_same_shape("x", arrays, "samples")
    _check_same_shape("y", arrays, "labels")


def _names(archive: Archive) -> list[str]:
    for name in archive.sizes:
        if not name.endswith(".npy"):
            raise ArchiveUnreadable(
                f"Every member of an .npz is an array named <name>.npy, but this one has {name[:80]!r}.",
                suggestions=[f"Let NumPy write the file: {_SAVEZ}."],
            )
    return [name.removesuffix(".npy") for name in archive.sizes]


def _header(archive: Archive, member: str) -> ArrayHeader:
    header = read_header(archive, member)
    if header.holds_objects:
        raise DatasetPickled(
            f"The array {member.removesuffix('.npy')!r} holds Python objects, which are pickled; "
            "pickles can run code and are never opened.",
            suggestions=["Convert it to numbers before saving: array = numpy.stack(array).astype('float32')."],
        )
    return header


def _check_names(headers: Mapping[str, ArrayHeader]) -> None:
    wanted = [*REQUIRED, *(OPTIONAL if set(OPTIONAL) & set(headers) else ())]
    missing = [name for name in wanted if name not in headers]
    if missing:
        raise DatasetArrayMissing(
            f"The data set lacks {', '.join(missing)}; it has {', '.join(sorted(headers)[:20]) or 'no arrays'}.",
            errors=[FieldError(field=name, messages=("missing",)) for name in missing],
            suggestions=[
                f"Save all arrays under these names: {_SAVEZ}. x_val and y_val are optional, but go together."
            ],
        )


def _check_array(name: str, header: ArrayHeader) -> None:
    if header.kind not in NUMERIC_KINDS:
        raise _unusable(
            name,
            f"{name} has dtype {header.descr!r}; numbers (bool, int, uint or float) were expected.",
            f"Number the classes: classes, {name} = numpy.unique({name}, return_inverse=True)."
            if name.startswith("y") and header.kind in "US"
            else f"Convert it: {name} = {name}.astype('float32'), or 'int64' for classes.",
        )
    least = 2 if name.startswith("x") else 1
    if len(header.shape) < least:
        raise _unusable(
            name,
            f"{name} has shape {header.shape}; "
            + (
                "samples need a first axis that counts them and at least one more."
                if least == 2
                else "one axis at least."
            ),
            f"Reshape it: {name} = {name}.reshape(len({name}), -1)."
            if least == 2
            else f"Save {name} as a list of labels.",
        )
    if math.prod(header.shape) == 0:
        raise _unusable(
            name, f"{name} has shape {header.shape}: it is empty.", "Check how the data was split before it was saved."
        )


def _check_lengths(split: str, arrays: Mapping[str, ArrayHeader]) -> None:
    samples, labels = arrays[f"x_{split}"].shape[0], arrays[f"y_{split}"].shape[0]
    if samples != labels:
        raise DatasetLengthsDiffer(
            f"x_{split} has {samples} samples but y_{split} has {labels} labels; each sample needs one label.",
            errors=[FieldError(field=f"y_{split}", messages=(f"has length {labels}, expected {samples}",))],
            suggestions=["Check that both were cut and shuffled together, and save them again."],
        )


def _check_same_shape(letter: str, arrays: Mapping[str, ArrayHeader], what: str) -> None:
    expected = arrays[f"{letter}_train"].shape[1:]
    for name in (f"{letter}_test", f"{letter}_val"):
        if name in arrays and arrays[name].shape[1:] != expected:
            raise _unusable(
                name,
                f"The {what} of {name} have shape {arrays[name].shape[1:]}, those of {letter}_train {expected}; "
                "all splits must agree.",
                "Prepare every split in the same way and save them again.",
            )


def _unusable(name: str, detail: str, suggestion: str) -> DatasetArrayUnusable:
    return DatasetArrayUnusable(
        detail, errors=[FieldError(field=name, messages=("cannot be used",))], suggestions=[suggestion]
    )
