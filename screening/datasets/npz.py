"""The rules of ``.npz`` data sets, checked on the headers of their arrays: 128 bytes or so of each are read."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final

from screening.archive import Archive
from screening.costs import check_inflation
from screening.datasets.npy import NUMERIC_KINDS, ArrayHeader, read_header
from screening.datasets.npz_names import ArrayName, parts_of, wanted
from secateur.errors import (
    ArchiveUnreadable,
    DatasetArrayMissing,
    DatasetArrayUnusable,
    DatasetLengthsDiffer,
    DatasetPickled,
    FieldError,
)

LABEL_BYTES: Final = 8
_NAMED_INPUT: Final = re.compile(r"([xy])_?([^_.].*?)_(train|test|val)\Z", re.DOTALL)
_SAVEZ: Final = 'numpy.savez("data.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)'
_VAL_AS_TEST: Final = "Name x_val and y_val x_test and y_test: each job holds out samples of its own to choose by."
_PARTS: Final = {"x": "input", "y": "output"}


def check(archive: Archive) -> None:
    """Check the members of an ``.npz`` and the arrays that a job will use.

    Raises:
        ArchiveUnreadable, ArchiveUnsafe: a member is no array, or another one than its header says.
        DatasetPickled: an array holds Python objects. DatasetArrayMissing: one of the required arrays is not there.
        DatasetLengthsDiffer: a split has not as many samples as labels. DatasetArrayUnusable: see the detail.
        UploadTooCostly: it has too many values for a file of its size.
    """
    headers = {name: _header(archive, f"{name}.npy") for name in _names(archive)}
    for letter in "xy":
        _check_parts(letter, parts_of(letter, headers))
    names = wanted(list(headers))
    _check_names(names, headers)
    arrays = {name: headers[str(name)] for name in names}
    for name, header in arrays.items():
        _check_array(str(name), header)
    for name in names:
        _check_length(name, arrays)
        _check_same_shape(name, arrays)
    _check_cost(arrays, archive.num_bytes)


def _check_parts(letter: str, parts: tuple[str, ...]) -> None:
    if "" in parts and len(parts) > 1:
        named = f"{letter}_train.{next(part for part in parts if part)}"
        raise _unusable(
            named,
            f"There are {letter}_train and {named}; either one array, or one for each {_PARTS[letter]}.",
            f"Name them all after the {_PARTS[letter]}s of the model: {letter}_train.NAME, {letter}_test.NAME.",
        )


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


def _check_names(names: list[ArrayName], headers: Mapping[str, ArrayHeader]) -> None:
    missing = [str(name) for name in names if str(name) not in headers]
    if missing:
        has_val = any(name.split == "val" for name in names)
        raise DatasetArrayMissing(
            f"The data set lacks {', '.join(missing)}; it has {', '.join(sorted(headers)[:20]) or 'no arrays'}.",
            errors=[FieldError(field=name, messages=("missing",)) for name in missing],
            suggestions=[
                *([_VAL_AS_TEST] if has_val and all("_test" in name for name in missing) else []),
                *_renamed(headers),
                f"Save all arrays under these names: {_SAVEZ}. x_val and y_val are optional, but go together.",
            ],
        )


def _renamed(names: Iterable[str]) -> list[str]:
    """What arrays such as ``ximg_train`` were probably meant to be called."""
    found = [(name, match) for name in names if (match := _NAMED_INPUT.match(name)) is not None]
    if not found:
        return []
    shown = ", ".join(f"{name} to {match[1]}_{match[3]}.{match[2]}" for name, match in sorted(found)[:6])
    return [
        f"Arrays of a model with several inputs or outputs are called x_train.NAME and y_train.NAME: rename {shown}."
    ]


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


def _check_length(name: ArrayName, arrays: Mapping[ArrayName, ArrayHeader]) -> None:
    first = next(each for each in arrays if (each.letter, each.split) == ("x", name.split))
    samples, found = arrays[first].shape[0], arrays[name].shape[0]
    if samples == found:
        return
    told = (
        f"{found} labels; each sample needs one label"
        if name.letter == "y"
        else f"{found}; every input needs a row of each sample"
    )
    raise DatasetLengthsDiffer(
        f"{first} has {samples} samples but {name} has {told}.",
        errors=[FieldError(field=str(name), messages=(f"has length {found}, expected {samples}",))],
        suggestions=["Check that both were cut and shuffled together, and save them again."],
    )


def _check_same_shape(name: ArrayName, arrays: Mapping[ArrayName, ArrayHeader]) -> None:
    first = name._replace(split="train")
    expected, found = arrays[first].shape[1:], arrays[name].shape[1:]
    if found != expected:
        raise _unusable(
            str(name),
            f"The {'samples' if name.letter == 'x' else 'labels'} of {name} have shape {found}, those of {first} "
            f"{expected}; all splits must agree.",
            "Prepare every split in the same way and save them again.",
        )


def _check_cost(arrays: Mapping[ArrayName, ArrayHeader], file_bytes: int) -> None:
    """Samples are kept as they are, labels in eight bytes each."""
    sizes = {name: math.prod(header.shape) for name, header in arrays.items()}
    check_inflation(
        f"The data set of {len(arrays)} arrays",
        num_values=sum(sizes.values()),
        num_bytes=sum(
            size * (LABEL_BYTES if name.letter == "y" else arrays[name].itemsize) for name, size in sizes.items()
        ),
        file_bytes=file_bytes,
    )


def _unusable(name: str, detail: str, suggestion: str) -> DatasetArrayUnusable:
    return DatasetArrayUnusable(
        detail, errors=[FieldError(field=name, messages=("cannot be used",))], suggestions=[suggestion]
    )
