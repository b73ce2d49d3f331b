"""Lists of rows, newest first, in pages that stay right while rows come in front of them."""

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
    """The rows of a query that come after a position, from the newest on when there is none."""
    if after is not None:
        query = query.where(older(table, after))
    return session.scalars(query.order_by(table.created_at.desc(), table.id.desc()).limit(limit)).all()


def older(table: type[Row], than: Position) -> ColumnElement[bool]:
    """Rows that were made before a position; of those made at the same moment, the ones with a lower id."""
    at, row_id = than
    return or_(table.created_at < at, and_(table.created_at == at, table.id < row_id))
