"""The disk that a job's inputs are copied to: where it is full, neither the store nor the user is at fault."""

from typing import IO, Any

from secateur.disk_full import lacks_room
from secateur.errors import StorageFull


class WorkDiskFull(StorageFull):
    """It is not the store that is full, but the disk that its files are copied to."""

    def __init__(self) -> None:
        hint = "Try again later, or tell the operator: the disk of SECATEUR_SCRATCH_DIR is full."
        super().__init__("The worker's disk has no room for the files of the job.", suggestions=[hint])


def write(file: IO[bytes], piece: Any) -> None:
    """Write all of it to a local file, which has no buffer.

    Raises:
        WorkDiskFull: there is no room for it.
    """
    rest = memoryview(piece)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as fault:
        if lacks_room(fault):
            raise WorkDiskFull() from fault
        raise
