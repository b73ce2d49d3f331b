"""Stores the files of a child: only those that it announced, only plain files, only from its folder.

Each file is opened once and checked through the open descriptor. Symbolic and hard links are refused, so a job cannot
pass off the files of others as its own. The number and the size of the files are checked before any byte is read.
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
"""Without blocking: to open a pipe without a writer would block."""


class RejectedOutput(InternalError):
    """A child announced files that are not as it says. Its job is not retried, because the child may be hostile."""

    retryable = False


@dataclass(frozen=True)
class OutputLimits:
    """The most files that a job may produce, and the most bytes in all of them."""

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
    """Store the announced files, each with its length at the time of the call: a living child may still change them.

    Args:
        store: where the files go.
        out: the folder of the files.
        files: what the child announced.
        announce: called with the digests before any file is stored, so that no collector removes bytes without a row.
        limits: of the number and the size of the files.
        before_chunk: called before each chunk that is hashed or copied. An exception that it raises ends the work.

    Raises:
        RejectedOutput: a file is missing, announced twice, not a plain file, or has a second name. Or there are too
            many.
        OutputsTooLarge: the files hold more bytes than allowed.
        Unavailable, StorageFull: the store does not answer, or is full.
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
    """Return the result of a check from the child's folder, as the upload's row stores it.

    Raises:
        RejectedOutput: the file is missing, not a plain file, too large, or not a summary of the expected type.
    """
    with _folder(folder) as opened, _plain(opened, SUMMARY) as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise RejectedOutput(f"The process that ran the check left a summary of more than {MAX_BYTES} bytes.")
    try:
        return expected.model_validate_json(text).model_dump(mode="json")
    except ValidationError as fault:
        raise RejectedOutput("The process that ran the check left a summary of another type than expected.") from fault


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
    """Open a plain file without a second hard link, which could be the file of another owner."""
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
