"""Runs one attempt at a job: claim the job, run the attempt, write how it ended.

One function turns each ending into one transaction. If it cannot be written, the lease expires and another worker tries
again, so a job is never lost.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.orm import Session

from infra.accounts import owner_limits, quotas
from infra.broker import Publisher
from infra.db import counters
from infra.db.tables import Job, Upload
from infra.jobs import lifecycle
from infra.jobs import trials as sweep_trials
from infra.jobs.dispatch import dispatch
from infra.jobs.events import Entry
from infra.jobs.lifecycle import Outcome
from infra.settings import Settings
from infra.storage import blobs
from infra.telemetry.logs import logger
from infra.telemetry.trace_context import working_in_span
from infra.telemetry.traces import Span, Value
from secateur.errors import Failure, RuntimeExceeded, SecateurError, ServiceError, Unavailable, WorkerCrashed
from secateur.protocol.states import JobState, UploadState
from workers.supervision import counters as counted
from workers.supervision.assignments import SUMMARIES
from workers.supervision.attempt import (
    Attempt,
    AttemptEnd,
    FannedOut,
    StopReason,
    WorkerContext,
    failed,
    retry_backoff,
)
from workers.supervision.claims import Claims
from workers.supervision.lease import Lease
from workers.supervision.outputs import RejectedOutput
from workers.supervision.process import ChildExit

FINAL_WRITE_SECONDS = 5.0
"""How long a draining worker tries to write an ending if the database does not answer."""


Entries = Sequence[Entry]


@dataclass(frozen=True)
class Supervisor:
    """Runs jobs. Any number of threads may call ``run``, which returns when the attempt has ended."""

    context: WorkerContext
    publisher: Publisher
    settings: Settings
    claims: Claims

    def run(self, job_id: str) -> None:
        """Claim the job if it is still queued, and run one attempt. For a check: the check of the owner who is next.

        Raises:
            Unavailable: the database does not answer. The job stays queued, and a reaper sends its message again.
        """
        if self.context.draining.is_set():
            return
        with self.claims.claimed(job_id) as job:
            if job is not None:
                self._run(job)

    def _run(self, job: Job) -> None:
        attributes: dict[str, Value] = {"job": job.id, "kind": job.kind, "attempt": job.attempt}
        span = self.context.traces.begin(f"attempt {job.kind}", parent=job.traceparent, role="consumer", **attributes)
        with working_in_span(span.traceparent):
            ending = self._attempt(job, span)
            span.note(ending=_name(ending))
            span.end(None if isinstance(ending, FannedOut) or _name(ending) == JobState.SUCCEEDED else _name(ending))

    def _attempt(self, job: Job, span: Span) -> AttemptEnd:
        log = logger("workers").bind(job_id=job.id, kind=job.kind, attempt=job.attempt)
        log.info("job taken")
        began = time.monotonic()
        times = {"lease_seconds": self.settings.lease_seconds, "heartbeat_seconds": self.settings.heartbeat_seconds}
        with Lease(self.context.database, job, **times) as lease:
            attempt = Attempt(self.context, job, lease, span)
            ending = attempt.run()
            if isinstance(ending, ChildExit):
                log.warning("child died", how=ending.how, log_tail=ending.log_tail)
                lease.recorder.add_entry(_exit_entry(ending))
            if isinstance(ending, ChildExit) or _is_our_fault(ending):
                attempt.checkpoints.forget_unless_renewed()
            written = self._settle(job, lease, ending)
            attempt.checkpoints.remove_unneeded()
        log.info("job left", ending=_name(ending), written=written)
        if isinstance(ending, StopReason) and attempt.announced:
            with suppress(SecateurError):  # the garbage collector removes stored files without a row
                blobs.remove_unneeded(self.context.database, self.context.store, attempt.announced)
        with suppress(SecateurError):  # a missing count is not worth waiting for
            self._count(counted.attempt(job, ending, ran_seconds=time.monotonic() - began, is_written=written))
        if written:
            with suppress(SecateurError):  # a reaper does it later
                self._dispatch_next(job.owner)
        return ending

    def _count(self, counts: Mapping[counters.Key, float]) -> None:
        with self.context.database.write() as session:
            counters.add(session, counts)

    def _settle(self, job: Job, lease: Lease, ending: AttemptEnd) -> bool:
        """Write an ending. Return False if this worker no longer holds the job."""
        match ending:
            case StopReason.LOST:
                return False
            case StopReason.DRAINED:
                gone = self._give_back(job, lease, "drained", "The worker is shutting down.")
                return gone or self._finish(job, lease, Outcome(JobState.CANCELLED))
            case StopReason.CANCELLED:
                return self._finish(job, lease, Outcome(JobState.CANCELLED))
            case StopReason.RUNTIME_EXCEEDED:
                return self._finish(job, lease, failed(_runtime_exceeded(job), lease))
            case ChildExit(broke_protocol=True):
                fault = RejectedOutput(f"The process that ran the job {ending.how}.")
                return self._finish(job, lease, failed(fault, lease))
            case ChildExit() if job.charged < self.settings.max_attempts:
                if self._give_back(job, lease, "child_died", f"Its process {ending.how}."):
                    self._dispatch(job)
                    return True
                return self._finish(job, lease, Outcome(JobState.CANCELLED))
            case ChildExit():
                return self._finish(job, lease, failed(_crashed(ending, job), lease))
            case Outcome(failure=Failure(blame="service", retryable=True) as failure) if (
                job.charged < self.settings.max_attempts
            ):  # not dispatched here: a reaper does it later, when the fault may be gone
                again = self._give_back(job, lease, "service_fault", f"{failure.code}: {failure.detail}")
                return again or self._finish(job, lease, ending)
            case FannedOut():
                return self._fan_out(job, lease, ending) or self._finish(job, lease, Outcome(JobState.CANCELLED))
            case Outcome():
                return self._finish(job, lease, ending)

    def _give_back(self, job: Job, lease: Lease, why: lifecycle.RequeueReason, detail: str) -> bool:
        """Return the job to the queue. Return False if it is not running, because it was cancelled or is lost."""

        def write(session: Session, entries: Entries) -> bool:
            return lifecycle.requeue(session, job.id, job.attempt, why=why, detail=detail, entries=entries)

        return self._write(lease, write)

    def _fan_out(self, job: Job, lease: Lease, ending: FannedOut) -> bool:
        """Write the trials of a sweep, and release it until they have ended.

        Return False if the sweep is not running.
        """
        trials: list[Job] = []

        def write(session: Session, entries: Entries) -> bool:
            steps = lease.recorder.steps
            trials[:] = sweep_trials.fan_out(
                session, job, ending.outcome, ending.children, steps=steps, entries=entries
            )
            return bool(trials)

        written = self._write(lease, write)
        for trial in trials if written else ():
            self._dispatch(trial)
        return written

    def _finish(self, job: Job, lease: Lease, outcome: Outcome) -> bool:
        steps = lease.recorder.steps

        def write(session: Session, entries: Entries) -> bool:
            return lifecycle.finish(session, job.id, job.attempt, outcome, steps=steps, entries=entries)

        written = self._write(lease, write)
        if written and job.parent_id is not None:
            with suppress(SecateurError):  # a reaper does it later
                self._notify_parent(job)
        if written and job.upload_id is not None and outcome.state == JobState.FAILED:
            with suppress(SecateurError):  # the garbage collector removes the bytes later
                self._drop_rejected(job.upload_id)
        return written

    def _notify_parent(self, job: Job) -> None:
        with self.context.database.write() as session:
            sweep_trials.record_trial(session, job)
            parent = sweep_trials.due_parent(session, job)
        if parent is not None:
            self._dispatch(parent)

    def _dispatch_next(self, owner: str) -> None:
        """Dispatch a job that was not claimed because its owner had as many running jobs as allowed."""
        with self.context.database.read() as session:
            limits = owner_limits.effective(session, owner, settings=self.settings)
            waiting = quotas.next_in_line(session, owner, limits)
        if waiting is not None:
            self._dispatch(waiting)

    def _write(self, lease: Lease, write: Callable[[Session, Entries], bool]) -> bool:
        """Write an ending. Retry until it is written, the job is lost, or the worker has drained for too long.

        A fault that a retry cannot fix is raised: the lease expires, and ``max_attempts`` limits the attempts.
        """
        backoff, until = retry_backoff(), math.inf
        while not lease.lost:
            try:
                with lease.recorder.to_write() as entries, self.context.database.write() as session:
                    return write(session, entries)
            except ServiceError as fault:
                logger("workers").warning("ending not written yet", fault=fault.detail)
            if self.context.draining.is_set():
                until = min(until, time.monotonic() + FINAL_WRITE_SECONDS)
                if time.monotonic() > until:
                    return False
            time.sleep(backoff.next_pause_seconds())
        return False

    def _drop_rejected(self, upload_id: str) -> None:
        """Delete the bytes of a rejected upload, unless they were uploaded again meanwhile."""
        with self.context.database.read() as session:
            upload = session.get(Upload, upload_id)
        if upload is not None and upload.state == UploadState.REJECTED:
            blobs.remove_unneeded(self.context.database, self.context.store, [upload.digest])

    def _dispatch(self, job: Job) -> None:
        """Notify a worker at once. If that fails, a reaper does it later."""
        with suppress(Unavailable):
            dispatch(self.context.database, self.publisher, [job])


def _is_our_fault(ending: AttemptEnd) -> bool:
    return isinstance(ending, Outcome) and ending.failure is not None and ending.failure.blame == "service"


def _exit_entry(child_exit: ChildExit) -> Entry:
    """Return the event with the end of the log of a child that died."""
    return Entry("log", {"message": child_exit.log_tail or f"It {child_exit.how}.", "logger": "stderr"}, "warning")


def _runtime_exceeded(job: Job) -> RuntimeExceeded:
    if job.kind in SUMMARIES:
        return RuntimeExceeded(
            "The check of the upload took longer than a file of its size may take.",
            suggestions=[
                "Upload a smaller model or data set: fewer layers, samples or columns.",
                "Or ask the operator to raise SECATEUR_CHECK_SECONDS.",
            ],
        )
    return RuntimeExceeded(
        "The job ran longer than its limits.max_runtime_seconds.",
        suggestions=["Raise limits.max_runtime_seconds, or ask for less: fewer epochs, sparsities or samples."],
    )


def _crashed(child_exit: ChildExit, job: Job) -> WorkerCrashed:
    return WorkerCrashed(
        f"The process that ran the job {child_exit.how}, in the last of {job.charged} attempts.",
        suggestions=["Try a smaller training.batch_size: running out of memory is the most common reason."],
    )


def _name(ending: AttemptEnd) -> str:
    match ending:
        case FannedOut():
            return f"fanned out into {len(ending.children)} trials"
        case Outcome():
            return ending.state if ending.failure is None else f"{ending.state}: {ending.failure.code}"
        case ChildExit():
            return f"died: {ending.how}"
        case StopReason():
            return ending.name.lower()
