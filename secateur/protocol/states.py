"""The states of jobs and uploads, and the moves between them. Few, and they stay few.

::

    queued -> running -> succeeded | failed
    queued -> cancelled | expired        running -> cancelling -> cancelled
    running -> queued                    (its worker died: the next attempt)

What a job is doing at the moment is told by its steps, never by its state.
"""

from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class UploadState(StrEnum):
    """Where the check of an upload stands."""

    CHECKING = "checking"
    READY = "ready"
    REJECTED = "rejected"


class StepState(StrEnum):
    """Where a step of a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


MOVES: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.EXPIRED, JobState.FAILED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLING, JobState.QUEUED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

FINAL: Final = frozenset(state for state, moves in MOVES.items() if not moves)
UNFINISHED: Final = frozenset(JobState) - FINAL

RETRYABLE: Final = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})
"""From here a job goes back to the queue only when its user asks for another attempt; nothing else moves it."""


def sources(target: JobState) -> frozenset[JobState]:
    """The states from which a job may move to ``target``: the left side of a compare-and-swap.

    >>> sorted(sources(JobState.CANCELLED))
    [<JobState.CANCELLING: 'cancelling'>, <JobState.QUEUED: 'queued'>]
    """
    return frozenset(state for state, moves in MOVES.items() if target in moves)
