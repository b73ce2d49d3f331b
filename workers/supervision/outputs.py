"""Takes a finished child's files into the store: only those it announced, only plain files, only from its folder.

Each is opened once and looked at through what was opened; links of either kind are refused, so nothing of others can be
passed off as a job's own. How many there are and how much they hold is bounded before the first byte is read.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from pydantic import BaseModel, ValidationError

from infra.jobs.lifecycle import StoredFile
from infra.storage.digests import BeforeChunk, digest_of
from infra.storage.store import Store
from secateur.errors import InternalError, OutputsTooLarge
from secateur.protocol.progress import ProducedFile
from secateur.protocol.work import SUMMARY
from secateur.reports.summaries import MAX_BYTES

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PLAIN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Without waiting, as a pipe that nobody writes to would make its reader."""


class RejectedOutput(InternalError):
    """A child said what cannot be so. Its job is not tried again: what broke its process once may be a trick."""

    retryable = False


@dataclass(frozen=True)
class OutputLimits:
    """How many files a job may leave, and how many bytes in all of them."""

    num_files: int = 256
    num_bytes: int = 64 * 1024**3


def collect(
    store: Store,
    out: Path,
    files: Sequence[ProducedFile],
    *,
    announce: Callable[[Sequence[str]], None],
    limits: OutputLimits,
    before_chunk: BeforeChunk,
) -> tuple[StoredFile, ...]:
    """Put the announced files into the store, each as long as it is now: a child that lives may change them.

    Args:
        announce: told the digests before any is stored, so that nobody removes what has no row yet.
        before_chunk: asked before each piece that is hashed or copied; what it raises ends the work.

    Raises:
        RejectedOutput: a file is missing, named twice, not a plain file, or known by another name too; or too many.
        OutputsTooLarge: the files hold more bytes than they may.
        Unavailable, StorageFull: as the store says.
    """
    names = [file.name for file in files]
    if len(set(names)) != len(names):
        raise RejectedOutput("The job's process announced a file twice.")
    if len(names) > limits.num_files:
        raise RejectedOutput(f"The job's process announced {len(names)} files; {limits.num_files} are allowed.")
    with ExitStack() as opened:
        folder = opened.enter_context(_folder(out))
        found = [opened.enter_context(_plain(folder, name)) for name in names]
        sizes = [os.fstat(file.fileno()).st_size for file in found]
        if sum(sizes) > limits.num_bytes:
            raise _too_large(sum(sizes), limits.num_bytes)
        digests = [
            digest_of(file, num_bytes=size, before_chunk=before_chunk) for file, size in zip(found, sizes, strict=True)
        ]
        announce(digests)
        for file, digest, size in zip(found, digests, sizes, strict=True):
            store.put_open(file, digest, num_bytes=size, before_chunk=before_chunk)
        return tuple(
            StoredFile(file.name, file.media_type, digest, size)
            for file, digest, size in zip(files, digests, sizes, strict=True)
        )


def summary(folder: Path, expected: type[BaseModel]) -> Mapping[str, Any]:
    """What a check left as its finding, in the child's folder, as it goes into a row.

    Raises:
        RejectedOutput: there is no such file, or it is no plain one, or larger than may be, or says something else.
    """
    with _folder(folder) as opened, _plain(opened, SUMMARY) as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise RejectedOutput(f"The process that ran the check found out more than {MAX_BYTES} bytes.")
    try:
        return expected.model_validate_json(text).model_dump(mode="json")
    except ValidationError as fault:
        raise RejectedOutput("The process that ran the check found out something else than was asked.") from fault


@contextmanager
def _folder(out: Path) -> Iterator[int]:
    try:
        folder = os.open(out, FOLDER)
    except OSError as fault:
        raise RejectedOutput("The job's process replaced its output folder.") from fault
    try:
        yield folder
    finally:
        os.close(folder)


def _plain(folder: int, name: str) -> IO[bytes]:
    """Open a file that has one name only: a second one could be that of somebody else's file."""
    try:
        file = os.fdopen(os.open(name, PLAIN, dir_fd=folder), "rb")
    except OSError as fault:
        raise RejectedOutput(f"The job's process announced {name!r} and left no file of that name.") from fault
    about = os.fstat(file.fileno())
    if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
        file.close()
        raise RejectedOutput(f"The job's process announced {name!r}, which is not a plain file with one name.")
    return file


def _too_large(total: int, limit: int) -> OutputsTooLarge:
    return OutputsTooLarge(
        f"The files that the job left hold {total} bytes; {limit} are allowed.",
        suggestions=["Ask for less in one job, or ask the operator to raise SECATEUR_JOB_OUTPUT_BYTES."],
    )
