"""Opaque cursors: a position in a list that stays right while rows come in front of it."""

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Query

from infra.tables import ApiKey, Delivery, Job, Upload, Webhook
from jobspec.errors import FieldError, InvalidRequest

Limit = Annotated[int, Query(ge=1, le=200, description="How many to return at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]
Position = tuple[datetime, str]


def encode(created_at: datetime, identifier: str) -> str:
    """A cursor that continues after this row."""
    return base64.urlsafe_b64encode(json.dumps([created_at.isoformat(), identifier]).encode()).decode()


def decode(cursor: str | None) -> Position | None:
    """The position that a cursor stands for.

    Raises:
        InvalidRequest: it is no cursor of ours.
    """
    if cursor is None:
        return None
    try:
        created_at, identifier = json.loads(base64.urlsafe_b64decode(cursor))
        position = datetime.fromisoformat(created_at), str(identifier)
    except (ValueError, TypeError):
        position = None
    if position is None or position[0].tzinfo is None:
        raise InvalidRequest(
            "The cursor is not one of ours.",
            errors=[FieldError(field="cursor", messages=("not a cursor",))],
            suggestions=["Use next_cursor of the page before as it is, or leave cursor out."],
        )
    return position


Row = TypeVar("Row", Job, Upload, ApiKey, Webhook, Delivery)


def cut(rows: Sequence[Row], limit: int) -> tuple[list[Row], str | None]:
    """The rows of a page, and the cursor of the next one, from up to one row more than the page holds."""
    shown = list(rows[:limit])
    return shown, encode(shown[-1].created_at, shown[-1].id) if len(rows) > limit else None
