"""What an attempt adds to the counters of the service: how it ended, how long it waited and ran."""

import re

from infra.db import counters
from infra.db.counters import Key
from infra.db.tables import Job
from infra.jobs.lifecycle import Outcome
from workers.supervision.attempt import AttemptEnd, FannedOut, StopReason
from workers.supervision.process import ChildExit


def attempt(job: Job, ending: AttemptEnd, *, ran_seconds: float, is_written: bool) -> dict[Key, float]:
    """Return the counts of one attempt. Only the first attempt of a job counts as a wait.

    Args:
        job: the row, as the worker claimed it.
        ending: how the attempt ended.
        ran_seconds: how long the attempt ran.
        is_written: whether the end was written; otherwise the attempt counts as lost.
    """
    counts: list[dict[Key, float]] = [
        {("attempts", (job.kind, ending_of(ending) if is_written else "lost")): 1.0},
        counters.observed("job_run_seconds", (job.kind,), ran_seconds),
    ]
    if job.attempt == 1 and job.started_at is not None:
        waited = (job.started_at - job.created_at).total_seconds()
        counts.append(counters.observed("job_wait_seconds", (job.kind,), waited))
    if isinstance(ending, ChildExit):
        counts.append({("child_deaths", (cause_of(ending),)): 1.0})
    return counters.merged(counts)


def lost(job: Job) -> dict[Key, float]:
    """Return the counts of an attempt whose lease has expired."""
    return {("attempts", (job.kind, "worker_lost")): 1.0}


def ending_of(ending: AttemptEnd) -> str:
    """Return how an attempt ended, as a label of the metric."""
    match ending:
        case FannedOut():
            return "fanned_out"
        case Outcome():
            return str(ending.state)
        case ChildExit():
            return "child_died"
        case StopReason():
            return ending.name.lower()


def cause_of(child_exit: ChildExit) -> str:
    """Return why a child died, as a label of the metric: a signal, ``exit``, ``broke_protocol`` or ``not_started``.

    >>> cause_of(ChildExit("was killed by SIGKILL, as the system does")), cause_of(ChildExit("exited with code 1"))
    ('SIGKILL', 'exit')
    """
    if child_exit.broke_protocol:
        return "broke_protocol"
    if (signal := re.search(r"\bSIG[A-Z0-9]+\b", child_exit.how)) is not None:
        return signal[0]
    return "exit" if "exited" in child_exit.how else "not_started"
