"""What the arrays of an ``.npz`` are called: ``x_train``, or ``x_train.NAME`` for each of several inputs."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

SPLITS: Final = ("train", "test", "val")

_NAME: Final = re.compile(r"([xy])_(train|test|val)(?:\.(.+))?\Z", re.DOTALL)


class ArrayName(NamedTuple):
    """``letter`` is x for samples, y for labels; ``part`` the input or output, empty where there is only one."""

    letter: str
    split: str
    part: str

    def __str__(self) -> str:
        return f"{self.letter}_{self.split}" + (f".{self.part}" if self.part else "")


def parsed(name: str) -> ArrayName | None:
    """What an array is; None when a job has no use for it.

    >>> parsed("x_train.image"), parsed("notes")
    (ArrayName(letter='x', split='train', part='image'), None)
    """
    found = _NAME.match(name)
    return None if found is None else ArrayName(found[1], found[2], found[3] or "")


def parts_of(letter: str, names: Iterable[str]) -> tuple[str, ...]:
    """The inputs, or the outputs, that arrays are named after, in the order of the file; one empty part for plain ones.

    >>> parts_of("x", ["x_train.a", "x_train.b", "y_train", "x_test.a"])
    ('a', 'b')
    """
    found = [each.part for each in map(parsed, names) if each is not None and each.letter == letter]
    return tuple(dict.fromkeys(found)) or ("",)


def wanted(names: Sequence[str]) -> list[ArrayName]:
    """The arrays that a data set with these must have: all splits the same ones; of validation all or none."""
    has_val = any(each is not None and each.split == "val" for each in map(parsed, names))
    return [
        ArrayName(letter, split, part)
        for split in (SPLITS if has_val else SPLITS[:2])
        for letter in "xy"
        for part in parts_of(letter, names)
    ]
