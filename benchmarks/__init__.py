"""Benchmarks: our lakehouse against raw Polars and the Dagster integrations that exist.

``python -m benchmarks`` runs them; ``README.md`` says what each one measures.
"""
