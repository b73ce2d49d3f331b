"""The first bytes of an HDF5 file: enough to tell one from a renamed file and from one that was cut short.

Everything behind them needs an HDF5 library, which only the worker's child may use on a stranger's file.
"""

from typing import IO, Final

from secateur.errors import ArchiveUnreadable, ModelUnreadable, UploadEmpty

MAGIC: Final = b"\x89HDF\r\n\x1a\n"
MIN_BYTES: Final = 96

_FOUND: Final = {
    b"PK": "a zip archive; a model of Keras 3 or tf_keras in one is called .keras, a SavedModel .zip",
    b"TFL3": "a LiteRT file (.tflite), which cannot be trained",
    b"\x80": "a pickle, which could run code and is never opened",
    b"{": "JSON text: an architecture without weights",
}
_RESAVE: Final = (
    'Save the whole model again: model.save("model.h5") in old Keras, model.save("model.keras") in Keras 3.'
)


def check(file: IO[bytes]) -> None:
    """Check that a file is HDF5 and whole.

    Raises:
        UploadEmpty: it has no bytes. ModelUnreadable: it is no HDF5 file.
        ArchiveUnreadable: it is shorter than its first block says.
    """
    num_bytes = int(file.seek(0, 2))
    if num_bytes == 0:
        raise UploadEmpty("The upload has 0 bytes.", suggestions=["Check the path that you upload from."])
    file.seek(0)
    head = bytes(file.read(MIN_BYTES))
    if not head.startswith(MAGIC):
        found = next(
            (what for start, what in _FOUND.items() if head[4:].startswith(start) or head.startswith(start)), ""
        )
        raise ModelUnreadable(
            f"The name promises an HDF5 file, but this is {found or 'none'}. Renaming a file does not convert it.",
            suggestions=[_RESAVE],
        )
    promised = _end_of_file(head) if len(head) == MIN_BYTES else None
    if promised is None or promised > num_bytes:
        raise ArchiveUnreadable(
            f"The HDF5 file is cut short or damaged: it has {num_bytes} bytes and should have {promised or 'more'}.",
            suggestions=["Upload it again; if that fails too, the file on your side is damaged."],
        )


def _end_of_file(head: bytes) -> int | None:
    """The size that the superblock says (HDF5 file format specification, section II.A); None when it says none."""
    version = head[8]
    if version in (0, 1):
        size, start = head[13], 24 + (4 if version == 1 else 0)
        place = start + 2 * size
    elif version in (2, 3):
        size, place = head[9], 12 + 2 * head[9]
    else:
        return None
    return int.from_bytes(head[place : place + size], "little") if size in (4, 8) else None
