"""The header of one ``.npy`` array, read in plain Python (numpy.lib.format, versions 1 to 3)."""

import ast
import math
import re
from dataclasses import dataclass, replace
from typing import Final

from screening.archive import Archive
from secateur.errors import ArchiveUnreadable, ArchiveUnsafe

MAGIC: Final = b"\x93NUMPY"
MAX_HEADER_BYTES: Final = 10_000
"""NumPy itself reads no longer one without pickles."""

MAX_RANK: Final = 32
NUMERIC_KINDS: Final = frozenset("biuf")
SIZES: Final = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}
"""Bytes of the numbers that are read, by kind; floats are of half, single and double precision."""

_DESCR: Final = re.compile(r"[<>|=]?([a-zA-Z])(\d{1,9})?(\[.{1,32}\])?\Z")
_RESAVE: Final = 'Let NumPy write the file again: numpy.savez("data.npz", x_train=x_train, ...).'


@dataclass(frozen=True)
class ArrayHeader:
    """What an array says about itself. ``kind`` is NumPy's letter: b, i, u, f are numbers, V is a structure."""

    descr: str
    kind: str
    itemsize: int
    shape: tuple[int, ...]
    holds_objects: bool
    fortran_order: bool = False
    start: int = 0
    """Where the numbers begin, in bytes from the start of the member."""


def read_header(archive: Archive, member: str) -> ArrayHeader:
    """The header of a member, held against the member's size.

    Raises:
        ArchiveUnreadable: it is no array, or has more bytes than its header says.
        ArchiveUnsafe: it claims more bytes than it has, which would reserve memory for nothing.
    """
    data = archive.read_head(member, MAX_HEADER_BYTES + 12)
    if data[:6] != MAGIC or len(data) < 12 or data[6] not in (1, 2, 3):
        raise _unreadable(member, "does not begin like an array")
    width = 2 if data[6] == 1 else 4
    start = 8 + width
    length = int.from_bytes(data[8:start], "little")
    if length > MAX_HEADER_BYTES or start + length > len(data):
        raise _unreadable(member, f"has a header of {length} bytes, which is cut short or too long")
    header = _parse(member, data[start : start + length].decode("utf-8" if data[6] == 3 else "latin-1", "replace"))
    header = replace(header, start=start + length)
    if not header.holds_objects:
        _check_size(member, header, held=archive.sizes[member] - start - length)
    return header


def _parse(member: str, text: str) -> ArrayHeader:
    try:
        fields = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as fault:
        raise _unreadable(member, "has a header that is no Python literal") from fault
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise _unreadable(member, "has a header without descr, fortran_order and shape")
    return replace(_header(member, fields["descr"], fields["shape"]), fortran_order=bool(fields["fortran_order"]))


def _header(member: str, descr: object, shape: object) -> ArrayHeader:
    if not isinstance(shape, tuple) or len(shape) > MAX_RANK or not all(type(n) is int and n >= 0 for n in shape):
        raise _unreadable(member, "has a shape that is no tuple of sizes")
    if not isinstance(descr, str):
        return ArrayHeader("a structure", "V", 0, shape, holds_objects=bool(re.search(r"'[<>|=]?O", repr(descr))))
    matched = _DESCR.match(descr)
    if matched is None:
        raise _unreadable(member, f"has the unknown dtype {descr[:40]!r}")
    kind, size = matched[1], int(matched[2] or 0)
    if matched[3] or size not in SIZES.get(kind, (size,)):
        raise _unreadable(member, f"has the dtype {descr[:40]!r}, which is none that is read")
    return ArrayHeader(descr[:40], kind, 4 * size if kind == "U" else size, shape, holds_objects=kind == "O")


def _check_size(member: str, header: ArrayHeader, *, held: int) -> None:
    if header.kind == "V":
        return
    claimed = math.prod(header.shape) * header.itemsize
    if claimed > held:
        raise ArchiveUnsafe(
            f"{member} claims shape {header.shape} of {header.descr!r}, {_few(claimed)} bytes, but holds {held}.",
            suggestions=[_RESAVE],
        )
    if claimed < held:
        raise _unreadable(member, f"holds {held} bytes, but its header explains only {claimed}")


def _few(number: int) -> str:
    return str(number) if number < 10**18 else "more than 10^18"


def _unreadable(member: str, what: str) -> ArchiveUnreadable:
    return ArchiveUnreadable(f"{member[:80]!r} {what}; an array in NumPy's format was expected.", suggestions=[_RESAVE])
