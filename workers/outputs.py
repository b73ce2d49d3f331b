"""Takes a finished child's files into the store: only those it announced, only plain files, only from its folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from infra.jobs import StoredFile
from infra.store import Store, digest_of
from jobspec.errors import InternalError
from jobspec.progress import ProducedFile


class Disbelieved(InternalError):
    """A child said what cannot be so. Its job is not tried again: what broke its process once may be a trick."""

    retryable = False


def collect(
    store: Store, out: Path, files: Sequence[ProducedFile], *, announce: Callable[[Sequence[str]], None]
) -> tuple[StoredFile, ...]:
    """Put the announced files into the store. Call it when the child is dead: then nothing changes any more.

    Args:
        announce: told the digests before any is stored, so that nobody removes what has no row yet.

    Raises:
        Disbelieved: a file is missing, named twice, or not a plain file.
        Unavailable, StorageFull: as the store says.
    """
    names = [file.name for file in files]
    if len(set(names)) != len(names):
        raise Disbelieved("The job's process announced a file twice.")
    if out.is_symlink() or not out.is_dir():
        raise Disbelieved("The job's process replaced its output folder.")
    for name in names:
        path = out / name
        if path.is_symlink() or not path.is_file():
            raise Disbelieved(f"The job's process announced {name!r} and did not leave a plain file of that name.")
    announce([digest_of(out / name) for name in names])
    return tuple(StoredFile(file.name, file.media_type, *store.put(out / file.name)) for file in files)
