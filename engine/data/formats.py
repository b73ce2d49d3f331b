"""From a file to what it holds: screened first, then read by the reader of its format."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast

from engine.data import images, npz, table, tfrecord
from engine.data.labels import check_classes
from engine.data.split import Contents
from jobspec.reading import Reading, check_reading
from jobspec.summaries import DatasetFormat
from screening import screen

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
    contents = READERS[format](path, reading)
    labels = {name: split.y for name, split in contents.splits.items()}
    check_classes(labels, contents.label_kind, contents.classes)
    return contents
