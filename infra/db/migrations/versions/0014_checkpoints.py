"""How far a job is that was interrupted, so that its next attempt can go on from there."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("checkpoint_digest", sa.String(length=80), nullable=True))
        jobs.add_column(sa.Column("checkpoint_bytes", sa.BigInteger(), nullable=True))
        jobs.add_column(sa.Column("checkpoint_steps", sa.JSON(), nullable=True))
        jobs.create_index("ix_jobs_checkpoint_digest", ["checkpoint_digest"])


def downgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_index("ix_jobs_checkpoint_digest")
        jobs.drop_column("checkpoint_steps")
        jobs.drop_column("checkpoint_bytes")
        jobs.drop_column("checkpoint_digest")
