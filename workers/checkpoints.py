"""Takes what a running job keeps of itself into the store, so that its next attempt can go on from there."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra import blobs, checkpoints
from infra.database import Database, now
from infra.logs import logger
from infra.store import Store
from infra.tables import Job
from jobspec.errors import SecateurError
from jobspec.progress import ProducedFile, StepProgress
from jobspec.work import CHECKPOINT
from workers import outputs

FILE: Final = ProducedFile(name=CHECKPOINT, media_type="application/octet-stream")


@dataclass(frozen=True)
class Keeping:
    """How often a job keeps how far it is, at most, and how much that may be; None: it does not."""

    every_seconds: float | None = 5.0
    max_bytes: int = 8 * 1024**3


class Checkpoints:
    """Those of one attempt, and the one that it began with. Only the newest is kept."""

    def __init__(self, database: Database, store: Store, job: Job, *, max_bytes: int) -> None:
        self._database, self._store, self._job = database, store, job
        self._bounds = outputs.Bounds(num_files=1, num_bytes=max_bytes)
        self._newest = job.checkpoint_digest

    def take(self, folder: Path, *, steps: tuple[StepProgress, ...], between: Callable[[], None]) -> None:
        """Take the file from the folder of a living child, which makes no other before this one is gone.

        One that cannot be kept is dropped: the job goes on, and an attempt after it begins further back.

        Args:
            between: asked before each piece that is hashed or copied; what it raises ends the work.
        """
        try:
            (file,) = outputs.collect(
                self._store, folder, [FILE], announce=self._announce, bounds=self._bounds, between=between
            )
            with self._database.write() as session:
                kept = checkpoints.keep(session, self._job.id, self._job.attempt, file.digest, steps=steps)
        except SecateurError as fault:
            logger("workers").warning("checkpoint not kept", job_id=self._job.id, fault=fault.detail)
            return
        finally:
            with suppress(OSError):  # whatever the child has put there instead
                (folder / CHECKPOINT).unlink()
        if kept:
            former, self._newest = self._newest, file.digest
            self._remove(former)

    def remove_unneeded(self) -> None:
        """Remove the newest too, if the job does not need it any more. Call it when the attempt has ended."""
        self._remove(self._newest)

    def _remove(self, digest: str | None) -> None:
        with suppress(SecateurError):  # then the collector finds it
            if digest is not None:
                blobs.remove_unneeded(self._database, self._store, [digest])

    def _announce(self, digests: Sequence[str]) -> None:
        with self._database.write() as session:
            blobs.announce(session, self._job.id, digests, now=now())
