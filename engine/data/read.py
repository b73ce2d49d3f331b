"""From a file to what it holds: screened first, then read by the reader of its format."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

from engine.data.formats import images, npz, table, tfrecord
from engine.data.labels import check_classes
from engine.data.split import Contents
from engine.parts import Parts
from screening import screen
from secateur.errors import DatasetLabelsInvalid
from secateur.specs.file_formats import DatasetFormat
from secateur.specs.reading import Reading, check_reading

READERS: Final[Mapping[DatasetFormat, Callable[[Path, Reading], Contents]]] = {
    "npz": npz.read,
    "images": images.read,
    "csv": table.read_csv,
    "parquet": table.read_parquet,
    "tfrecord": tfrecord.read,
}


def read(path: Path, reading: Reading) -> Contents:
    """What a data set holds, with every value and label checked.

    Raises:
        UploadRefused: one of its kinds, for whatever is wrong with the file, a sample or a label.
    """
    with path.open("rb") as file:
        format = cast(DatasetFormat, screen("dataset", path.name, file, inflate=True))
    check_reading(reading, format)
    contents = READERS[format](path, reading).with_test()
    for output, kind in (contents.label_kinds or {"": contents.label_kind}).items():
        labels = {
            name: split.y.named(output) if isinstance(split.y, Parts) else split.y
            for name, split in contents.splits.items()
        }
        with _blamed_on(output):
            check_classes(labels, kind, contents.classes)
    return contents


@contextmanager
def _blamed_on(output: str) -> Iterator[None]:
    """Let what is wrong with labels name the output that they are for."""
    try:
        yield
    except DatasetLabelsInvalid as fault:
        if output:
            fault.detail = f"Labels of {output!r}: {fault.detail}"
        raise
