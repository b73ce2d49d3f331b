"""Alembic's entry point: runs the migrations on the connection that ``infra.db.database`` passes."""

from alembic import context

from infra.db.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
