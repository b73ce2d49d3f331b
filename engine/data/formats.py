"""From a file to what it holds: screened first, then read by the reader of its format."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from engine.data import npz
from engine.data.split import Contents
from screening import screen

READERS: Final[Mapping[str, Callable[..., Contents]]] = {"npz": npz.read}


def read(path: Path) -> Contents:
    """What a data set holds, with every value and label checked.

    Raises:
        UploadRefused: one of its kinds, for whatever is wrong with the file, a sample or a label.
    """
    with path.open("rb") as file:
        found = screen("dataset", path.name, file, inflate=True)
    return READERS[found](path)
