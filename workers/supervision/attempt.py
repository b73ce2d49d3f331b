"""One attempt at a job: fetch its inputs, run a child, watch over it, store its files.

Every way in which an attempt can end is a value, an ``AttemptEnd``, which the supervisor writes.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from infra.backoff import Backoff
from infra.db.database import Database, now
from infra.db.tables import Job
from infra.jobs.lifecycle import Outcome
from infra.storage import blobs
from infra.storage.store import Store
from infra.storage.work_disk import WorkDiskFull
from infra.telemetry.logs import logger
from infra.telemetry.traces import Span, Traces
from secateur.disk_full import lacks_room
from secateur.errors import InternalError, SecateurError, ServiceError, StorageFull, Unavailable
from secateur.protocol.cost_bounds import DEFAULT, CostBounds
from secateur.protocol.progress import Failed, Ready, Saved, Succeeded
from secateur.protocol.states import JobState, StepState
from secateur.protocol.work import WorkMessage
from secateur.specs.spec import CompressSpec
from workers.supervision import outputs
from workers.supervision.assignments import OUT, SUMMARIES, CheckTime, Work, work_of
from workers.supervision.checkpoints import CheckpointPolicy, Checkpoints
from workers.supervision.children import ChildLease, Children
from workers.supervision.lease import Lease
from workers.supervision.outputs import OutputLimits
from workers.supervision.process import ChildExit
from workers.supervision.step_spans import StepSpans

EVENT_SECONDS = 0.2
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0

EXTRA_CPU_SECONDS: Final = 60.0
"""Processor seconds in addition to the runtime on all processors, for imports and work under way when time is up."""

T = TypeVar("T")


class StopReason(Enum):
    """Why the worker itself ended an attempt."""

    LOST = "another worker holds the job, or the job was deleted"
    CANCELLED = "the user cancelled the job"
    RUNTIME_EXCEEDED = "the job ran longer than its limit"
    DRAINED = "the worker is shutting down"


class Stopped(Exception):
    """Ends the work of an attempt early."""

    def __init__(self, why: StopReason) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True)
class FannedOut:
    """The first half of a sweep has ended, and its trials can be written."""

    outcome: Outcome
    children: Sequence[CompressSpec]


AttemptEnd = Outcome | FannedOut | ChildExit | StopReason


@dataclass(frozen=True)
class WorkerContext:
    """What all attempts of a worker use."""

    database: Database
    store: Store
    draining: threading.Event
    children: Children
    limits: OutputLimits = field(default_factory=OutputLimits)
    keeping: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    traces: Traces = field(default_factory=Traces)
    cost_bounds: CostBounds = DEFAULT
    check_time: CheckTime = field(default_factory=CheckTime)


class Attempt:
    """One attempt, from fetching its inputs to storing its files."""

    def __init__(self, context: WorkerContext, job: Job, lease: Lease, span: Span) -> None:
        self._context = context
        self._job = job
        self._lease = lease
        self.checkpoints = Checkpoints(context.database, context.store, job, context.keeping)
        self._span = span
        self._steps = StepSpans(span, [step.name for step in lease.recorder.steps])
        self._deadline: float | None = None
        self.announced: tuple[str, ...] = ()
        """The digests of files that were stored, or announced to be stored."""

    def run(self) -> AttemptEnd:
        """Do the work, and return how it ended. Faults of users and outages are values too, not exceptions."""
        try:
            work = self._retry(self._read_work)
            self._deadline = time.monotonic() + work.max_runtime_seconds
            self._steps.begin("child")
            with self._context.children.lease_child(work.assignment.kind) as leased:
                with self._span.within("fetch inputs"):
                    self._fetch(work, leased.folder)
                leased.admit()
                result = self._listen(leased, work)
                leased.child.kill()
                if not isinstance(result, Succeeded):
                    return result
                with self._span.within("store files"):
                    return self._keep(result, work, leased.folder)
        except Stopped as stopped:
            return stopped.why
        except SecateurError as fault:
            return failed(fault, self._lease)
        except OSError as fault:
            if lacks_room(fault):
                return failed(WorkDiskFull(), self._lease)
            return ChildExit(f"could not be started: {fault.strerror}")
        except Exception as fault:  # noqa: BLE001 - a job without an end would be retried for ever
            logger("workers").exception("unexpected error", job_id=self._job.id)
            return failed(InternalError(f"{type(fault).__name__}: {fault}"), self._lease)
        finally:
            self._steps.close("not finished")

    def _read_work(self) -> Work:
        with self._context.database.read() as session:
            return work_of(session, self._job, check_time=self._context.check_time)

    def _fetch(self, work: Work, folder: Path) -> None:
        try:
            for name, digest in work.inputs.items():
                self._retry(self._copy(digest, folder / name))
        except InternalError:
            self._retry(self._read_work)  # fails with the reason if the upload was rejected or deleted meanwhile
            raise
        for name, digest in work.known.items():
            with suppress(InternalError):  # the file is lost: the child measures again
                self._retry(self._copy(digest, folder / name))

    def _copy(self, digest: str, path: Path) -> Callable[[], None]:
        return partial(self._context.store.fetch, digest, path, before_chunk=self._check_stop)

    def _listen(self, leased: ChildLease, work: Work) -> Succeeded | Outcome | ChildExit | StopReason:
        while (stop := self._stop_reason()) is None:
            match leased.child.next_event(EVENT_SECONDS):
                case None:
                    continue
                case ChildExit() as child_exit:
                    return child_exit
                case Ready():
                    self._steps.end("child")
                    seconds = work.max_runtime_seconds * (os.cpu_count() or 1) + EXTRA_CPU_SECONDS
                    leased.child.assign(
                        WorkMessage(
                            assignment=work.assignment,
                            processor_seconds=seconds,
                            checkpoint_seconds=self._context.keeping.every_seconds,
                            cost_bounds=self._context.cost_bounds,
                        )
                    )
                case Saved():
                    self.checkpoints.take(
                        leased.folder, steps=self._lease.recorder.steps, before_chunk=self._check_stop
                    )
                case Succeeded() as result:
                    return result
                case Failed(failure=failure):
                    return Outcome(JobState.FAILED, failure)
                case event:
                    self._lease.recorder.record_event(event)
                    self._steps.record_event(event)
        return stop

    def _keep(self, result: Succeeded, work: Work, folder: Path) -> Outcome | FannedOut:
        expected = SUMMARIES.get(self._job.kind)
        summary = None if expected is None else outputs.summary(folder, expected)
        collect = partial(
            outputs.collect, announce=self._announce, limits=self._context.limits, before_chunk=self._check_stop
        )
        files = self._retry(
            lambda: collect(self._context.store, folder / OUT, result.files),
            retried_faults=(Unavailable, StorageFull),  # the work is done: wait for disk space instead of discarding it
        )
        outcome = Outcome(JobState.SUCCEEDED, files=files, summary=summary)
        return FannedOut(outcome, work.children) if work.children else outcome

    def _announce(self, digests: Sequence[str]) -> None:
        with self._context.database.write() as session:
            blobs.hold(session, self._job.id, digests, now=now())
        self.announced = tuple(digests)

    def _retry(self, action: Callable[[], T], *, retried_faults: tuple[type[ServiceError], ...] = (Unavailable,)) -> T:
        """Call ``action`` until it raises none of ``retried_faults``, and return its result.

        Raises:
            Stopped: there is a reason to stop.
        """
        backoff = retry_backoff()
        while (stop := self._stop_reason()) is None:
            try:
                return action()
            except retried_faults as fault:
                logger("workers").warning("waiting", job_id=self._job.id, fault=fault.detail)
                self._context.draining.wait(backoff.next_pause_seconds())
        raise Stopped(stop)

    def _check_stop(self) -> None:
        """Raise ``Stopped`` if there is a reason to stop. Called before each chunk of a transfer."""
        if (stop := self._stop_reason()) is not None:
            raise Stopped(stop)

    def _stop_reason(self) -> StopReason | None:
        if self._lease.lost:
            return StopReason.LOST
        if self._lease.state == JobState.CANCELLING:
            return StopReason.CANCELLED
        if self._deadline is not None and time.monotonic() > self._deadline:
            return StopReason.RUNTIME_EXCEEDED
        return StopReason.DRAINED if self._context.draining.is_set() else None


def retry_backoff() -> Backoff:
    """Return the pauses between two tries to reach a database or a store that does not answer."""
    return Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)


def failed(fault: SecateurError, lease: Lease) -> Outcome:
    """Return the outcome of a job that failed in the step that is running."""
    running = next((step.name for step in lease.recorder.steps if step.state == StepState.RUNNING), None)
    return Outcome(JobState.FAILED, fault.failure(running))
