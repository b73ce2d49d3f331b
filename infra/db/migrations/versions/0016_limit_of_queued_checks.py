"""Add the limit on the uploads of an owner that wait for their check."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("owner_limits") as table:
        table.add_column(sa.Column("queued_checks", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("owner_limits") as table:
        table.drop_column("queued_checks")
