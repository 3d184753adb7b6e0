"""Upkeep of every lake table: small files put together, old versions forgotten.

What ``mcai table compact`` and ``mcai table expire`` do to one table, these assets do to all of
a namespace, and plot what it came to.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dagster as dg


def maintenance_assets() -> "Sequence[dg.AssetsDefinition]":
    """Compaction, and the expiry that follows it."""
    from assets.maintenance.upkeep import compaction, expiry

    return [compaction, expiry]
