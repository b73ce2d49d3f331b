"""The lease of a job. A thread renews it and saves progress, independently of the other threads of the worker.

If the database does not answer, the thread tries again at every heartbeat. Every write names its attempt, so a late
write changes nothing if another worker has claimed the job.
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
    """The right to write one attempt of one job. The next heartbeat saves what its ``recorder`` has recorded."""

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
        """Whether this worker no longer holds the job, and may not write it any more."""
        return self.state is None

    def _beat(self) -> None:
        while not self.lost and not self._ended.wait(self._heartbeat_seconds):
            try:
                self._renew()
            except Exception as fault:  # noqa: BLE001 - if the thread stopped, the job would be lost
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
