"""Cursors: a position in a list that stays right while rows come in front of it.

Clients take them as they are. What they look like is told so that each text of that form is one, and no other.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

from fastapi import Query

from infra.db.tables import ApiKey, Delivery, Job, Upload, Webhook
from secateur.errors import FieldError, InvalidRequest

Limit = Annotated[int, Query(ge=1, le=200, description="How many to return at most.")]
PATTERN: Final = "^[0-9]{16}-[a-z]{3}_[0-9a-f]{20}$"
"""Microseconds since 1970, and an id."""
Cursor = Annotated[
    str | None, Query(description="`next_cursor` of the page before.", json_schema_extra={"pattern": PATTERN})
]
Position = tuple[datetime, str]
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def encode(created_at: datetime, identifier: str) -> str:
    """A cursor that continues after this row.

    >>> encode(datetime(2026, 11, 21, 12, tzinfo=UTC), "job_989651fb785aefefabd0")
    '1795262400000000-job_989651fb785aefefabd0'
    """
    return f"{(created_at - EPOCH) // MICROSECOND:016d}-{identifier}"


def decode(cursor: str | None) -> Position | None:
    """The position that a cursor stands for.

    Raises:
        InvalidRequest: it is no cursor of ours.
    """
    if cursor is None:
        return None
    if not re.fullmatch(PATTERN, cursor):
        raise InvalidRequest(
            "The cursor is not one of ours.",
            errors=[FieldError(field="cursor", messages=("not a cursor",))],
            suggestions=["Use next_cursor of the page before as it is, or leave cursor out."],
        )
    microseconds, _, identifier = cursor.partition("-")
    return EPOCH + int(microseconds) * MICROSECOND, identifier


Row = TypeVar("Row", Job, Upload, ApiKey, Webhook, Delivery)


def cut(rows: Sequence[Row], limit: int) -> tuple[list[Row], str | None]:
    """The rows of a page, and the cursor of the next one, from up to one row more than the page holds."""
    shown = list(rows[:limit])
    return shown, encode(shown[-1].created_at, shown[-1].id) if len(rows) > limit else None
