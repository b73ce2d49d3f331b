"""Holding a job: a thread renews the lease and saves progress, whatever the rest of the worker is busy with.

A database that does not answer is asked again, for as long as it takes: every write names its attempt, so
the worst that a late one can do is to find that the job has gone to somebody else.
"""

import threading
from types import TracebackType
from typing import Self

from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs import lifecycle, steps
from infra.telemetry.logs import logger
from secateur.protocol.states import JobState
from workers.supervision.recorder import Recorder


class Lease:
    """The right to write one attempt of one job. What its ``record`` is told is saved at the next heartbeat."""

    def __init__(self, database: Database, job: Job, *, lease_seconds: float, heartbeat_seconds: float) -> None:
        self.recorder = Recorder(steps.steps_of(job))
        self.state: JobState | None = JobState.RUNNING
        self._database = database
        self._job = job
        self._lease_seconds = lease_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def lost(self) -> bool:
        """Whether the job is no longer ours: nothing may be written any more."""
        return self.state is None

    def _beat(self) -> None:
        while not self.lost and not self._ended.wait(self._heartbeat_seconds):
            try:
                self._renew()
            except Exception as fault:  # noqa: BLE001 - a heart that stops at a fault loses the job
                logger("workers").warning("lease not renewed", job_id=self._job.id, fault=str(fault))

    def _renew(self) -> None:
        with self.recorder.to_write() as entries, self._database.write() as session:
            self.state = lifecycle.renew(
                session,
                self._job.id,
                self._job.attempt,
                steps=self.recorder.steps,
                lease_seconds=self._lease_seconds,
                entries=entries,
            )
