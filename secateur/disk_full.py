"""What a full disk looks like from within."""

import errno
from typing import Final

from secateur.errors import SecateurError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
SAID: Final = ("No space left on device", "Disk quota exceeded", "database or disk is full")
"""How libraries word it that pass on no number."""


def lacks_room(fault: BaseException | None) -> bool:
    """Whether something could not be written because a disk is full, or what its user may have of it.

    What an exception was raised from, or while, counts too; the texts of our own errors do not: they quote users.

    >>> lacks_room(OSError(errno.ENOSPC, "No space left on device")), lacks_room(OSError(errno.EIO, "broken"))
    (True, False)
    """
    seen: list[BaseException] = []
    while fault is not None and fault not in seen:
        if getattr(fault, "errno", None) in FULL:
            return True
        if not isinstance(fault, SecateurError) and any(said in str(fault) for said in SAID):
            return True
        seen.append(fault)
        fault = fault.__cause__ or fault.__context__
    return False
