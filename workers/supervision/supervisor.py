"""Brings one attempt at one job to its end: claim it, let it be worked on, write down how that ended.

One function turns each ending into one transaction. If that cannot be written, the lease lapses and somebody
else tries: a job is never lost.
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
from infra.jobs.events import Entry
from infra.jobs.lifecycle import Outcome
from infra.settings import Settings
from infra.storage import blobs
from infra.telemetry.logs import logger
from infra.telemetry.trace_context import working_for
from infra.telemetry.traces import Span, Value
from secateur.errors import Failure, RuntimeExceeded, SecateurError, ServiceError, Unavailable, WorkerCrashed
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import JobState, StepState, UploadState
from workers.supervision import counters as counted
from workers.supervision.assignments import SUMMARIES
from workers.supervision.attempt import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Attempt,
    AttemptEnd,
    FannedOut,
    StopReason,
    WorkerContext,
    failed,
)
from workers.supervision.lease import Lease
from workers.supervision.outputs import RejectedOutput
from workers.supervision.process import ChildExit

LAST_WORDS_SECONDS = 5.0
"""How long a worker that must go tries to tell a database that does not answer."""


Entries = Sequence[Entry]


@dataclass(frozen=True)
class Supervisor:
    """Runs jobs. Called by any number of threads, each of which stays until its job has ended."""

    context: WorkerContext
    publisher: Publisher
    settings: Settings

    def run(self, job_id: str) -> None:
        """Take the job if it still waits, and bring this attempt to its end.

        Raises:
            Unavailable: the database does not answer; the job waits on, and a sweep sends it again.
        """
        if self.context.draining.is_set():
            return
        with self.context.database.write() as session:
            job = quotas.claim(
                session, job_id, owner_limits.by(self.settings), lease_seconds=self.settings.lease_seconds
            )
        if job is None:
            return
        told: dict[str, Value] = {"job": job.id, "kind": job.kind, "attempt": job.attempt}
        span = self.context.traces.begin(f"attempt {job.kind}", parent=job.traceparent, role="consumer", **told)
        with working_for(span.traceparent):
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
            ending = attempt.ending()
            if isinstance(ending, ChildExit):
                log.warning("child died", how=ending.how, log_tail=ending.log_tail)
                lease.record.note(_exit_entry(ending))
            if isinstance(ending, ChildExit) or _is_our_fault(ending):
                attempt.checkpoints.forget_if_it_led_nowhere()
            written = self._settle(job, lease, ending)
            attempt.checkpoints.remove_unneeded()
        log.info("job left", ending=_name(ending), written=written)
        if isinstance(ending, StopReason) and attempt.announced:
            with suppress(SecateurError):  # then the collector finds what was stored and has no row
                blobs.remove_unneeded(self.context.database, self.context.store, attempt.announced)
        with suppress(SecateurError):  # a count that is missing is not worth a wait
            self._count(counted.attempt(job, ending, ran_seconds=time.monotonic() - began, is_written=written))
        if written:
            with suppress(SecateurError):  # then a sweep of some worker notices
                self._wake_next(job.owner)
        return ending

    def _count(self, counts: Mapping[counters.Key, float]) -> None:
        with self.context.database.write() as session:
            counters.add(session, counts)

    def _settle(self, job: Job, lease: Lease, ending: AttemptEnd) -> bool:
        """Write an ending. False when the job was no longer ours to end."""
        match ending:
            case StopReason.LOST:
                return False
            case StopReason.DRAINED:
                gone = self._give_back(job, lease, "drained", "The worker was told to stop.")
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
                    self._publish(job)
                    return True
                return self._finish(job, lease, Outcome(JobState.CANCELLED))
            case ChildExit():
                return self._finish(job, lease, failed(_crashed(ending, job), lease))
            case Outcome(failure=Failure(blame="service", retryable=True) as failure) if (
                job.charged < self.settings.max_attempts
            ):  # a sweep sends it, not we: what broke should have a moment to recover
                again = self._give_back(job, lease, "service_fault", f"{failure.code}: {failure.detail}")
                return again or self._finish(job, lease, ending)
            case FannedOut():
                return self._spread(job, lease, ending) or self._finish(job, lease, Outcome(JobState.CANCELLED))
            case Outcome():
                return self._finish(job, lease, ending)

    def _give_back(self, job: Job, lease: Lease, why: lifecycle.Why, detail: str) -> bool:
        """Queue the job for another attempt. False when it is not running: then it was being cancelled, or is lost."""

        def write(session: Session, entries: Entries) -> bool:
            return lifecycle.requeue(session, job.id, job.attempt, why=why, detail=detail, entries=entries)

        return self._write(lease, write)

    def _spread(self, job: Job, lease: Lease, ending: FannedOut) -> bool:
        """Let go of the job until the trials that it is made of have ended. False as for ``_give_back``."""
        trials: list[Job] = []

        def write(session: Session, entries: Entries) -> bool:
            steps = lease.record.steps
            trials[:] = sweep_trials.fan_out(
                session, job, ending.outcome, ending.children, steps=steps, entries=entries
            )
            return bool(trials)

        written = self._write(lease, write)
        for trial in trials if written else ():
            self._publish(trial)
        return written

    def _finish(self, job: Job, lease: Lease, outcome: Outcome) -> bool:
        steps = lease.record.steps if outcome.state == JobState.SUCCEEDED else _halted(lease.record.steps)

        def write(session: Session, entries: Entries) -> bool:
            return lifecycle.finish(session, job.id, job.attempt, outcome, steps=steps, entries=entries)

        written = self._write(lease, write)
        if written and job.parent_id is not None:
            with suppress(SecateurError):  # then a sweep of some worker notices
                self._wake_parent(job)
        if written and job.upload_id is not None and outcome.state == JobState.FAILED:
            with suppress(SecateurError):  # bytes that nobody needs; the next refusal of the same content removes them
                self._drop_rejected(job.upload_id)
        return written

    def _wake_parent(self, job: Job) -> None:
        with self.context.database.write() as session:
            sweep_trials.record_trial(session, job)
            parent = sweep_trials.due_parent(session, job)
        if parent is not None:
            self._publish(parent)

    def _wake_next(self, owner: str) -> None:
        """Send the job that was not taken because its owner had as many running as allowed."""
        with self.context.database.read() as session:
            limits = owner_limits.of(session, owner, settings=self.settings)
            waiting = quotas.next_in_line(session, owner, limits)
        if waiting is not None:
            self._publish(waiting)

    def _write(self, lease: Lease, write: Callable[[Session, Entries], bool]) -> bool:
        """Write until the database takes it, the job is lost, or this worker must go.

        What no database would take is raised: the lease lapses, and ``max_attempts`` bounds the tries.
        """
        pause, until = FIRST_PAUSE_SECONDS, math.inf
        while not lease.lost:
            try:
                with lease.record.to_write() as entries, self.context.database.write() as session:
                    return write(session, entries)
            except ServiceError as fault:
                logger("workers").warning("ending not written yet", fault=fault.detail)
            if self.context.draining.is_set():
                until = min(until, time.monotonic() + LAST_WORDS_SECONDS)
                if time.monotonic() > until:
                    return False
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return False

    def _drop_rejected(self, upload_id: str) -> None:
        """Delete the bytes of a rejected upload, unless somebody has uploaded them again by now."""
        with self.context.database.read() as session:
            upload = session.get(Upload, upload_id)
        if upload is not None and upload.state == UploadState.REJECTED:
            blobs.remove_unneeded(self.context.database, self.context.store, [upload.digest])

    def _publish(self, job: Job) -> None:
        """Wake a worker at once; if that fails, a sweep does it later."""
        with suppress(Unavailable):
            self.publisher.publish(job)
            with self.context.database.write() as session:
                lifecycle.mark_published(session, job.id)


def _is_our_fault(ending: AttemptEnd) -> bool:
    return isinstance(ending, Outcome) and ending.failure is not None and ending.failure.blame == "service"


def _exit_entry(child_exit: ChildExit) -> Entry:
    """What a child that died left in its log."""
    return Entry("log", {"message": child_exit.log_tail or f"It {child_exit.how}.", "logger": "stderr"}, "warning")


def _halted(steps: tuple[StepProgress, ...]) -> tuple[StepProgress, ...]:
    """Steps of a job that ended early: the one under way did not make it."""
    halt = {"state": StepState.FAILED, "eta_seconds": None}
    return tuple(step.model_copy(update=halt) if step.state == StepState.RUNNING else step for step in steps)


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
        "The job was still running when its limits.max_runtime_seconds had passed.",
        suggestions=["Raise limits.max_runtime_seconds, or ask for less: fewer epochs, sparsities or samples."],
    )


def _crashed(child_exit: ChildExit, job: Job) -> WorkerCrashed:
    return WorkerCrashed(
        f"The process that ran the job {child_exit.how}; so ended the last of {job.charged} attempts.",
        suggestions=["Try a smaller training.batch_size: running out of memory is the most common reason."],
    )


def _name(ending: AttemptEnd) -> str:
    match ending:
        case FannedOut():
            return f"spread into {len(ending.children)} trials"
        case Outcome():
            return ending.state if ending.failure is None else f"{ending.state}: {ending.failure.code}"
        case ChildExit():
            return f"died: {ending.how}"
        case StopReason():
            return ending.name.lower()
