"""Lists of rows, newest first, in pages. A page stays correct while new rows are added in front of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import Session

from infra.db.tables import ApiKey, Delivery, Job, Upload, Webhook

Row = TypeVar("Row", ApiKey, Delivery, Job, Upload, Webhook)
Position = tuple[datetime, str]
"""``created_at`` and ``id`` of a row."""


def newest_first(
    session: Session, table: type[Row], query: Select[Row], *, limit: int, after: Position | None
) -> Sequence[Row]:
    """Return the rows of a query that come after a position. Without a position, start at the newest row."""
    if after is not None:
        query = query.where(older(table, after))
    return session.scalars(query.order_by(table.created_at.desc(), table.id.desc()).limit(limit)).all()


def older(table: type[Row], than: Position) -> ColumnElement[bool]:
    """Return the condition for rows created before a position. Rows of the same moment are ordered by id."""
    at, row_id = than
    return or_(table.created_at < at, and_(table.created_at == at, table.id < row_id))
