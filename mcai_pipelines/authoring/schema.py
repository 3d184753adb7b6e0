"""A contract in Dagster's terms: kinds, owners, tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcai_pipelines.contracts import Contract

KINDS: Mapping[str, str] = {"delta": "deltalake", "iceberg": "iceberg"}
"""Table format to Dagster's kind of that name, for which its UI has an icon."""

_NOT_IN_TAG = re.compile(r"[^A-Za-z0-9_.-]+")
_TAG_LENGTH = 63


def asset_owners(contract: Contract) -> list[str]:
    """Owners as Dagster takes them: emails, and ``team:name``."""
    return list(contract.owners)


def asset_tags(contract: Contract) -> Mapping[str, str]:
    """The contract's tags as Dagster tags without values."""
    return {_NOT_IN_TAG.sub("-", tag)[:_TAG_LENGTH].strip("-._"): "" for tag in contract.tags}
