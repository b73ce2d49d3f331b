"""The work of one attempt at one job: fetch its inputs, run a child, watch over it, store its files.

Everything that can happen becomes a value, an ``AttemptEnd``; writing it down is the supervisor's business.
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
from workers.supervision.outputs import Bounds
from workers.supervision.process import ChildExit
from workers.supervision.step_spans import StepSpans

LISTEN_SECONDS = 0.2
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
"""Between two tries to reach a database or a store that does not answer the pause doubles up to this."""

SPARE_SECONDS: Final = 60.0
"""Processor seconds beyond what all processors have in the runtime: imports, and work under way when time is up."""

T = TypeVar("T")


class StopReason(Enum):
    """Why the worker itself ended an attempt."""

    LOST = "the lease went to another worker, or the job is gone"
    CANCELLED = "its user cancelled it"
    RUNTIME_EXCEEDED = "it ran longer than it may"
    DRAINED = "this worker is shutting down"


class Stopped(Exception):
    """Leaves an attempt's work early."""

    def __init__(self, why: StopReason) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True)
class FannedOut:
    """The first half of a job that goes on as many."""

    outcome: Outcome
    children: Sequence[CompressSpec]


AttemptEnd = Outcome | FannedOut | ChildExit | StopReason


@dataclass(frozen=True)
class WorkerContext:
    """What every attempt of a worker works with."""

    database: Database
    store: Store
    draining: threading.Event
    children: Children
    bounds: Bounds = field(default_factory=Bounds)
    keeping: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    traces: Traces = field(default_factory=Traces)
    cost_bounds: CostBounds = DEFAULT
    check_time: CheckTime = field(default_factory=CheckTime)


class Attempt:
    """The work of one attempt, from fetching its inputs to storing its files."""

    def __init__(self, context: WorkerContext, job: Job, lease: Lease, span: Span) -> None:
        self._context = context
        self._job = job
        self._lease = lease
        self.checkpoints = Checkpoints(context.database, context.store, job, context.keeping)
        self._span = span
        self._steps = StepSpans(span, [step.name for step in lease.record.steps])
        self._deadline: float | None = None
        self.announced: tuple[str, ...] = ()
        """The digests of files that are stored, or were about to be."""

    def ending(self) -> AttemptEnd:
        """Do the work; tell how it ended. Whatever a user or an outage did comes back as a value."""
        try:
            work = self._patiently(self._read_work)
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
        except Exception as fault:  # noqa: BLE001 - a job that nobody ends would be tried for ever
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
                self._patiently(self._copy(digest, folder / name))
        except InternalError:
            self._patiently(self._read_work)  # bytes that are gone because their upload was refused or deleted since
            raise
        for name, digest in work.known.items():
            with suppress(InternalError):  # lost: then it is measured again
                self._patiently(self._copy(digest, folder / name))

    def _copy(self, digest: str, path: Path) -> Callable[[], None]:
        return partial(self._context.store.fetch, digest, path, between=self._go_on)

    def _listen(self, leased: ChildLease, work: Work) -> Succeeded | Outcome | ChildExit | StopReason:
        while (stop := self._stop()) is None:
            match leased.child.next_event(LISTEN_SECONDS):
                case None:
                    continue
                case ChildExit() as child_exit:
                    return child_exit
                case Ready():
                    self._steps.end("child")
                    seconds = work.max_runtime_seconds * (os.cpu_count() or 1) + SPARE_SECONDS
                    leased.child.assign(
                        WorkMessage(
                            assignment=work.assignment,
                            processor_seconds=seconds,
                            checkpoint_seconds=self._context.keeping.every_seconds,
                            cost_bounds=self._context.cost_bounds,
                        )
                    )
                case Saved():
                    self.checkpoints.take(leased.folder, steps=self._lease.record.steps, between=self._go_on)
                case Succeeded() as result:
                    return result
                case Failed(failure=failure):
                    return Outcome(JobState.FAILED, failure)
                case event:
                    self._lease.record.tell(event)
                    self._steps.tell(event)
        return stop

    def _keep(self, result: Succeeded, work: Work, folder: Path) -> Outcome | FannedOut:
        expected = SUMMARIES.get(self._job.kind)
        summary = None if expected is None else outputs.summary(folder, expected)
        collect = partial(outputs.collect, announce=self._announce, bounds=self._context.bounds, between=self._go_on)
        files = self._patiently(
            lambda: collect(self._context.store, folder / OUT, result.files),
            worth=(Unavailable, StorageFull),  # the work is done: better to wait for room than to throw it away
        )
        outcome = Outcome(JobState.SUCCEEDED, files=files, summary=summary)
        return FannedOut(outcome, work.children) if work.children else outcome

    def _announce(self, digests: Sequence[str]) -> None:
        with self._context.database.write() as session:
            blobs.hold(session, self._job.id, digests, now=now())
        self.announced = tuple(digests)

    def _patiently(self, action: Callable[[], T], *, worth: tuple[type[ServiceError], ...] = (Unavailable,)) -> T:
        """Try until nothing fails that is worth the wait, or there is a reason to stop."""
        pause = FIRST_PAUSE_SECONDS
        while (stop := self._stop()) is None:
            try:
                return action()
            except worth as fault:
                logger("workers").warning("waiting", job_id=self._job.id, fault=fault.detail)
                self._context.draining.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        raise Stopped(stop)

    def _go_on(self) -> None:
        """Leave the work at once when there is a reason to stop. Asked between pieces of files."""
        if (stop := self._stop()) is not None:
            raise Stopped(stop)

    def _stop(self) -> StopReason | None:
        if self._lease.lost:
            return StopReason.LOST
        if self._lease.state == JobState.CANCELLING:
            return StopReason.CANCELLED
        if self._deadline is not None and time.monotonic() > self._deadline:
            return StopReason.RUNTIME_EXCEEDED
        return StopReason.DRAINED if self._context.draining.is_set() else None


def failed(fault: SecateurError, lease: Lease) -> Outcome:
    """The ending of a job that failed in the step that is under way."""
    running = next((step.name for step in lease.record.steps if step.state == StepState.RUNNING), None)
    return Outcome(JobState.FAILED, fault.failure(running))
