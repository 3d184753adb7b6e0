"""Alembic scripts of the state database; run by ``mcai_pipelines.state.migrate``, not by hand."""
