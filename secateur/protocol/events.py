"""What happened to a job, as its user reads it: numbered from 1, in order, kept with the job."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from secateur.frozen import Frozen

EventKind = Literal["state", "step", "progress", "log", "trial"]
Level = Literal["info", "warning", "error"]
LEVELS: Final[tuple[Level, ...]] = ("info", "warning", "error")


class JobEvent(Frozen):
    """One thing that happened to a job.

    ``body`` by ``kind``: ``state`` has ``state`` and, where there is one, ``why``, ``detail`` or ``failure``; ``step``
    has ``step``, ``state``, ``seconds`` and ``message``; ``progress`` has what a step in the job's ``steps`` has;
    ``log`` has ``message`` and ``logger``; ``trial`` (of a sweep) has ``job_id``, ``position`` and ``state``, or
    ``num_trials`` when they are written.
    """

    number: int = Field(ge=1, description="Grows by time; numbers may be missing where progress was thinned out.")
    attempt: int = Field(ge=0, description="The attempt that it belongs to; 0 before the first.")
    at: datetime
    kind: EventKind
    level: Level
    body: Mapping[str, Any]


def at_least(level: Level) -> tuple[Level, ...]:
    """The levels that are at least this grave.

    >>> at_least("warning")
    ('warning', 'error')
    """
    return LEVELS[LEVELS.index(level) :]
