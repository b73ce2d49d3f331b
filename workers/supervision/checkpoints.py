"""Stores the checkpoints of a running job, from which its next attempt resumes."""

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


MIN_PAUSE_SECONDS: Final = 0.1
"""The least time between two checkpoints that are stored, whatever a child does."""


@dataclass(frozen=True)
class CheckpointPolicy:
    """The least time between two checkpoints, and the largest checkpoint. ``every_seconds`` None: no checkpoints."""

    every_seconds: float | None = 5.0
    max_bytes: int = 8 * 1024**3


class Checkpoints:
    """The checkpoints of one attempt, and the one that it resumed from. Only the newest is kept."""

    def __init__(self, database: Database, store: Store, job: Job, keeping: CheckpointPolicy) -> None:
        self._database, self._store, self._job = database, store, job
        self._limits = outputs.OutputLimits(num_files=1, num_bytes=keeping.max_bytes)
        self._pause = max(MIN_PAUSE_SECONDS, (keeping.every_seconds or 0.0) / 2)
        self._newest = job.checkpoint_digest
        self._stored = set[str]() if self._newest is None else {self._newest}
        self._not_before, self._is_warned = 0.0, False

    def take(self, folder: Path, *, steps: tuple[StepProgress, ...], before_chunk: Callable[[], None]) -> None:
        """Store the checkpoint in the folder of a running child, which writes no other before this file is removed.

        A checkpoint that cannot be stored, or comes too soon after another, is dropped. The job continues, and its next
        attempt resumes from an earlier checkpoint.

        Args:
            folder: of the child.
            steps: the steps at the time of the checkpoint.
            before_chunk: called before each chunk that is hashed or copied. An exception that it raises ends the work.
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
            if not self._is_warned:  # once: a child may write any number of checkpoints
                logger("workers").warning("checkpoint not kept", job_id=self._job.id, fault=fault.detail)
            self._is_warned = True
            return
        finally:
            with suppress(OSError):  # the child may have put a folder there
                (folder / CHECKPOINT).unlink()
        if kept:
            self._newest = file.digest
            self._remove(self._stored - {file.digest})

    def forget_unless_renewed(self) -> None:
        """Remove the checkpoint that this attempt resumed from, if the attempt died before it wrote another.

        The cause may be in the checkpoint, and would end every later attempt. The next one begins from the start.
        """
        if self._newest is not None and self._newest == self._job.checkpoint_digest:
            with suppress(SecateurError), self._database.write() as session:
                checkpoints.forget(session, self._job.id, self._job.attempt)

    def remove_unneeded(self) -> None:
        """Remove the stored checkpoints that the job does not need any more. Call it when the attempt has ended.

        That includes a checkpoint that was being stored when the attempt stopped.
        """
        self._remove(self._stored)

    def _remove(self, digests: set[str]) -> None:
        with suppress(SecateurError):  # the garbage collector removes it later
            blobs.remove_unneeded(self._database, self._store, digests)
            self._stored &= {self._newest}

    def _announce(self, digests: Sequence[str]) -> None:
        with self._database.write() as session:
            blobs.hold(session, self._job.id, digests, now=now())
        self._stored.update(digests)
