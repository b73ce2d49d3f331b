"""Uploads are known by all that is declared of them, not by their scale alone."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("uploads") as table:
        table.add_column(sa.Column("reading", sa.JSON(), nullable=True))
        table.add_column(sa.Column("reading_digest", sa.String(length=80), nullable=True))
    uploads = _uploads()
    connection = op.get_bind()
    for scale in connection.execute(sa.select(uploads.c.scale).distinct()).scalars().all():
        reading = {} if scale == "none" else {"scale": scale}
        digest = "sha256:" + hashlib.sha256(json.dumps(reading, sort_keys=True).encode()).hexdigest()
        changed = sa.update(uploads).where(uploads.c.scale == scale)
        connection.execute(changed.values(reading=reading, reading_digest=digest))
    with op.batch_alter_table("uploads") as table:
        table.alter_column("reading", existing_type=sa.JSON(), nullable=False)
        table.alter_column("reading_digest", existing_type=sa.String(length=80), nullable=False)
        table.drop_constraint("uq_uploads_kind_digest_scale", type_="unique")
        table.create_unique_constraint("uq_uploads_kind_digest_reading_digest", ["kind", "digest", "reading_digest"])
        table.drop_column("scale")


def downgrade() -> None:
    """Only for uploads that differ in nothing but their scale."""
    with op.batch_alter_table("uploads") as table:
        table.add_column(sa.Column("scale", sa.String(length=16), nullable=True))
    uploads = _uploads()
    connection = op.get_bind()
    for upload_id, reading in connection.execute(sa.select(uploads.c.id, uploads.c.reading)).all():
        scale = reading.get("scale", "none")
        connection.execute(sa.update(uploads).where(uploads.c.id == upload_id).values(scale=scale))
    with op.batch_alter_table("uploads") as table:
        table.alter_column("scale", existing_type=sa.String(length=16), nullable=False)
        table.drop_constraint("uq_uploads_kind_digest_reading_digest", type_="unique")
        table.create_unique_constraint("uq_uploads_kind_digest_scale", ["kind", "digest", "scale"])
        table.drop_column("reading_digest")
        table.drop_column("reading")


def _uploads() -> sa.TableClause:
    return sa.table(
        "uploads",
        sa.column("id", sa.String),
        sa.column("scale", sa.String),
        sa.column("reading", sa.JSON),
        sa.column("reading_digest", sa.String),
    )
