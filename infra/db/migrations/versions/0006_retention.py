"""How long uploads and jobs are kept, and which bytes a worker is about to need."""

import sqlalchemy as sa
from alembic import op

from infra.db.tables import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("uploads", "jobs"):
        op.add_column(table, sa.Column("expires_at", UtcDateTime(), nullable=True))
        op.create_index(op.f(f"ix_{table}_expires_at"), table, ["expires_at"])
    op.create_table(
        "blob_holds",
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_blob_holds_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", "job_id", name=op.f("pk_blob_holds")),
    )


def downgrade() -> None:
    op.drop_table("blob_holds")
    for table in ("jobs", "uploads"):
        op.drop_index(op.f(f"ix_{table}_expires_at"), table)
        op.drop_column(table, "expires_at")
