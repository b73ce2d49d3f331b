"""The frame of a TFRecord file: the lengths of its records, and the checksum of the first. Nothing is parsed."""

import struct
from typing import IO, Final

from secateur.errors import RecordsUnusable, UploadEmpty

_POLYNOMIAL: Final = 0x82F63B78
FRAME_BYTES: Final = 16
"""Around each record: its length before it, and a checksum of both."""

_WRITE: Final = "Write it with tf.io.TFRecordWriter, without compression."


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum (RFC 3720), bit by bit: for a few bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A checksum as TFRecord stores it: turned by 15 bits, plus a constant."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def check(file: IO[bytes]) -> None:
    """Check the head of a file.

    Raises:
        UploadEmpty: it has no bytes. RecordsUnusable: it does not begin with a record.
    """
    num_bytes = file.seek(0, 2)
    file.seek(0)
    head = bytes(file.read(12))
    if num_bytes == 0:
        raise UploadEmpty("The upload has 0 bytes.", suggestions=["Check the path that you upload from."])
    if head[:2] == b"\x1f\x8b":
        raise RecordsUnusable("The records are packed with gzip; plain ones were expected.", suggestions=[_WRITE])
    length, checksum = struct.unpack("<QI", head) if len(head) == 12 else (0, -1)
    if masked(crc32c(head[:8])) != checksum:
        raise RecordsUnusable(
            "The file does not begin with a TFRecord: its checksum does not fit.", suggestions=[_WRITE]
        )
    if length + 16 > num_bytes:
        raise RecordsUnusable(
            f"The first record has {length} bytes, the file {num_bytes}: it is cut short.",
            suggestions=["Upload it again; if that fails too, the file on your side is damaged."],
        )


def check_lengths(file: IO[bytes]) -> int:
    """Walk from record to record. Returns the bytes of the longest one.

    TensorFlow makes room for as many bytes as a record says it has, before it reads them.

    Raises:
        RecordsUnusable: a record is longer than what is left of the file.
    """
    num_bytes, place, number, longest = file.seek(0, 2), 0, 0, 0
    while place < num_bytes:
        number += 1
        file.seek(place)
        head = file.read(8)
        length = int.from_bytes(head, "little")
        place += length + FRAME_BYTES
        if len(head) < 8 or place > num_bytes:
            raise RecordsUnusable(
                f"Record {number} is cut short or damaged: it says that it has {length} bytes, and the file ends.",
                suggestions=["Write the file again, or upload it again if it is whole on your side."],
            )
        longest = max(longest, length)
    return longest
