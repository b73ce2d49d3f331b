"""The disk of working folders. If it is full, neither the store nor the user is at fault."""

from typing import IO, Any

from secateur.disk_full import lacks_room
from secateur.errors import StorageFull


class WorkDiskFull(StorageFull):
    """The disk of the worker's working folders is full, not the store."""

    def __init__(self) -> None:
        hint = "Try again later, or tell the operator: the disk of SECATEUR_SCRATCH_DIR is full."
        super().__init__("The worker's disk has no space for the files of the job.", suggestions=[hint])


def write(file: IO[bytes], chunk: Any) -> None:
    """Write a whole chunk to an unbuffered local file.

    Raises:
        WorkDiskFull: the disk is full.
    """
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as fault:
        if lacks_room(fault):
            raise WorkDiskFull() from fault
        raise
