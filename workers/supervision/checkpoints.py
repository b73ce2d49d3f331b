"""Takes what a running job keeps of itself into the store, so that its next attempt can go on from there."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.db.database import Database, now
from infra.db.tables import Job
from infra.jobs import checkpoints
from infra.storage import blobs
from infra.storage.store import Store
from infra.telemetry.logs import logger
from secateur.errors import SecateurError
from secateur.protocol.progress import ProducedFile, StepProgress
from secateur.protocol.work import CHECKPOINT
from workers.supervision import outputs

FILE: Final = ProducedFile(name=CHECKPOINT, media_type="application/octet-stream")


LEAST_PAUSE_SECONDS: Final = 0.1
"""Between two that are taken, whatever a child does."""


@dataclass(frozen=True)
class CheckpointPolicy:
    """How often a job keeps how far it is, at most, and how much that may be; None: it does not."""

    every_seconds: float | None = 5.0
    max_bytes: int = 8 * 1024**3


class Checkpoints:
    """Those of one attempt, and the one that it began with. Only the newest is kept."""

    def __init__(self, database: Database, store: Store, job: Job, keeping: CheckpointPolicy) -> None:
        self._database, self._store, self._job = database, store, job
        self._limits = outputs.OutputLimits(num_files=1, num_bytes=keeping.max_bytes)
        self._pause = max(LEAST_PAUSE_SECONDS, (keeping.every_seconds or 0.0) / 2)
        self._newest = job.checkpoint_digest
        self._stored = set[str]() if self._newest is None else {self._newest}
        self._not_before, self._is_warned = 0.0, False

    def take(self, folder: Path, *, steps: tuple[StepProgress, ...], before_chunk: Callable[[], None]) -> None:
        """Take the file from the folder of a living child, which makes no other before this one is gone.

        One that cannot be kept, or comes too soon after another, is dropped: the job goes on, and an attempt after it
        begins further back.

        Args:
            before_chunk: asked before each piece that is hashed or copied; what it raises ends the work.
        """
        try:
            if time.monotonic() < self._not_before:
                return
            self._not_before = time.monotonic() + self._pause
            (file,) = outputs.collect(
                self._store, folder, [FILE], announce=self._announce, limits=self._limits, before_chunk=before_chunk
            )
            with self._database.write() as session:
                kept = checkpoints.keep(session, self._job.id, self._job.attempt, file, steps=steps)
        except SecateurError as fault:
            if not self._is_warned:  # once: a child may make as many as it likes
                logger("workers").warning("checkpoint not kept", job_id=self._job.id, fault=fault.detail)
            self._is_warned = True
            return
        finally:
            with suppress(OSError):  # whatever the child has put there instead
                (folder / CHECKPOINT).unlink()
        if kept:
            self._newest = file.digest
            self._remove(self._stored - {file.digest})

    def forget_unless_renewed(self) -> None:
        """Let the next attempt begin anew, when this one went on from a checkpoint and died before it made another.

        Whatever it died of may lie in that file, and would be met by every attempt after it.
        """
        if self._newest is not None and self._newest == self._job.checkpoint_digest:
            with suppress(SecateurError), self._database.write() as session:
                checkpoints.forget(session, self._job.id, self._job.attempt)

    def remove_unneeded(self) -> None:
        """Remove the newest too, if the job does not need it any more. Call it when the attempt has ended.

        One that was being stored when the work had to stop goes as well.
        """
        self._remove(self._stored)

    def _remove(self, digests: set[str]) -> None:
        with suppress(SecateurError):  # then the collector finds it
            blobs.remove_unneeded(self._database, self._store, digests)
            self._stored &= {self._newest}

    def _announce(self, digests: Sequence[str]) -> None:
        with self._database.write() as session:
            blobs.hold(session, self._job.id, digests, now=now())
        self._stored.update(digests)
