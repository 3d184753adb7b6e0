"""The command line ``mcai``: one file per verb group.

Nothing here is imported by another room. Dagster, Polars, PyIceberg and the rest are imported
inside the functions that need them, so that ``mcai --help`` answers at once.
"""

from mcai_pipelines.cli.app import main

__all__ = ["main"]
