"""Static checks of untrusted uploads. No upload is loaded, unpickled or unpacked here.

The gateway asks before it keeps a file, the worker's child asks again before it loads one.
"""

from collections.abc import Callable
from typing import IO, Final, Literal

from screening import formats
from screening.archive import FEW, IMAGES, Archive
from screening.datasets import images, npz, table, tfrecord
from screening.models import hdf5_file, keras_file, savedmodel_file

Kind = Literal["model", "dataset"]

_ARCHIVES: Final[dict[str, Callable[[Archive], object]]] = {
    "keras": keras_file.check,
    "savedmodel": savedmodel_file.check,
    "npz": npz.check,
    "images": images.check,
}
"""The rules of each format that is a zip archive."""

_FILES: Final[dict[str, Callable[[IO[bytes]], object]]] = {
    "hdf5": hdf5_file.check,
    "csv": table.check_csv,
    "parquet": table.check_parquet,
    "tfrecord": tfrecord.check,
}
"""The rules of each format that is none."""

_WHOLE: Final[dict[str, Callable[[IO[bytes]], object]]] = {"csv": table.check_lines, "tfrecord": tfrecord.check_lengths}
"""What is checked by reading all of a file."""


def format_of(kind: Kind, name: str) -> str:
    """The format that a file's name promises, such as ``"keras"`` or ``"hdf5"`` for models and ``"npz"`` for data.

    Raises:
        UnsupportedFormat: it is none of those; the error says how to make one that is.

    >>> format_of("model", "lenet.keras")
    'keras'
    """
    return formats.format_of(kind, name)


def screen(kind: Kind, name: str, file: IO[bytes], *, inflate: bool = False) -> str:
    """Check that an upload is what it says and can be opened without harm. Returns its format.

    Args:
        file: seekable; read here and there, so that a remote file costs little.
        inflate: also unpack every member in small pieces and compare its checksum, and measure every line or record.
            Reads all of the file.

    Raises:
        UnsupportedFormat: by its name or by the version of Keras that wrote it.
        UploadEmpty, ArchiveUnreadable, ArchiveUnsafe: it is no zip archive that can be read in safety.
        ModelUnreadable, ModelClassRefused: the archive is no Keras model, or names classes that could run code.
        DatasetPickled, DatasetArrayMissing, DatasetLengthsDiffer, DatasetArrayUnusable: its arrays do not fit.
        UploadTooCostly: it asks for more work or memory than the bounds in force allow (``screening.costs``).
        ImagesUnusable, TableUnusable, RecordsUnusable: it does not look like images in folders, a table, records.
    """
    promised = format_of(kind, name)
    if promised in _FILES:
        _FILES[promised](file)
        if inflate and promised in _WHOLE:
            _WHOLE[promised](file)
        return promised
    with Archive(file, limits=IMAGES if promised == "images" else FEW) as archive:
        _ARCHIVES[promised](archive)
        if inflate:
            archive.inflate_all()
    return promised
