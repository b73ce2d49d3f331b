"""API keys, and an owner for every upload and job. What was there before belongs to ``local``."""

import sqlalchemy as sa
from alembic import op

from infra.db.tables import UtcDateTime

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("scopes", sa.String(length=64), nullable=False),
        sa.Column("secret_digest", sa.String(length=80), nullable=False),
        sa.Column("former_digest", sa.String(length=80), nullable=True),
        sa.Column("former_until", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.add_column("jobs", sa.Column("owner", sa.String(length=64), server_default="local", nullable=False))
    op.create_index(op.f("ix_jobs_owner_state"), "jobs", ["owner", "state"])
    with op.batch_alter_table("uploads") as table:
        table.add_column(sa.Column("owner", sa.String(length=64), server_default="local", nullable=False))
        table.drop_constraint("uq_uploads_kind_digest_reading_digest", type_="unique")
        table.create_unique_constraint(
            "uq_uploads_owner_kind_digest_reading_digest", ["owner", "kind", "digest", "reading_digest"]
        )


def downgrade() -> None:
    """Only while no two owners have the same content."""
    with op.batch_alter_table("uploads") as table:
        table.drop_constraint("uq_uploads_owner_kind_digest_reading_digest", type_="unique")
        table.create_unique_constraint("uq_uploads_kind_digest_reading_digest", ["kind", "digest", "reading_digest"])
        table.drop_column("owner")
    op.drop_index(op.f("ix_jobs_owner_state"), "jobs")
    op.drop_column("jobs", "owner")
    op.drop_table("api_keys")
