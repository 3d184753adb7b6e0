"""What Alembic executes: run the revisions on the connection that it was handed."""

from alembic import context

from mcai_pipelines.state.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
