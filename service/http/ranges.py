"""Byte ranges of RFC 9110: which part of a file a ``Range`` header asks for."""

import re

from secateur.errors import RangeNotSatisfiable


class _OutOfRange(RangeNotSatisfiable):
    """Carries the header that tells how long the file really is."""

    def __init__(self, header: str, size: int) -> None:
        super().__init__(f"The file has {size} bytes; {header!r} lies outside.")
        self.headers = {"Content-Range": f"bytes */{size}"}


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (excluded) of the part, or None for all of it.

    Several ranges, other units and malformed headers are ignored, as the RFC allows.

    Raises:
        RangeNotSatisfiable: the part lies outside the file.

    >>> requested_range("bytes=2-5", 10), requested_range("bytes=-3", 10), requested_range("bytes=7-", 10)
    ((2, 6), (7, 10), (7, 10))
    """
    found = re.fullmatch(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", header or "")
    if found is None or (not found[1] and not found[2]):
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or start >= end:
        raise _OutOfRange(header or "", size)
    return start, end
