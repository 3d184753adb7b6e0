"""A contract in Dagster's terms: column schema, owners, tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from mcai_pipelines.contracts import Contract

KINDS: Mapping[str, str] = {"delta": "deltalake", "iceberg": "iceberg"}
"""Table format to Dagster's kind of that name, for which its UI has an icon."""

_NOT_IN_TAG = re.compile(r"[^A-Za-z0-9_.-]+")
_TAG_LENGTH = 63


def column_schema(contract: Contract) -> dg.TableSchema:
    """Columns with type, description, constraints and classification."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type),
                description=column.description or None,
                constraints=dg.TableColumnConstraints(
                    nullable=not column.required,
                    unique=contract.primary_key == (column.name,),
                    other=["primary key"] if column.name in contract.primary_key else [],
                ),
                tags={"classification": column.classification} if column.classification else None,
            )
            for column in contract.columns
        ]
    )


def asset_owners(contract: Contract) -> list[str]:
    """Owners as Dagster takes them: emails, and ``team:name``."""
    return list(contract.owners)


def asset_tags(contract: Contract) -> Mapping[str, str]:
    """The contract's tags as Dagster tags without values."""
    return {_NOT_IN_TAG.sub("-", tag)[:_TAG_LENGTH].strip("-._"): "" for tag in contract.tags}
