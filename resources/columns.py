"""Columns as Dagster shows them: what a table has, with what its contract says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from mcai_pipelines.contracts import Column, Contract


def contract_columns(contract: Contract) -> dg.TableSchema:
    """The columns that a contract asks for."""
    return table_columns({c.name: str(c.type) for c in contract.columns}, contract)


def table_columns(schema: Mapping[str, str], contract: Contract | None) -> dg.TableSchema:
    """The columns that a table has: type, description, constraints, classification.

    Args:
        schema: Column name to type, as Iceberg names types.
        contract: Describes them, if the table has one.
    """
    described = {column.name: column for column in contract.columns} if contract else {}
    key = contract.primary_key if contract else ()
    return dg.TableSchema(
        columns=[
            _described(described[name], kind, key)
            if name in described
            else dg.TableColumn(name=name, type=kind)
            for name, kind in schema.items()
        ]
    )


def _described(column: Column, kind: str, key: tuple[str, ...]) -> dg.TableColumn:
    return dg.TableColumn(
        name=column.name,
        type=kind,
        description=column.description or None,
        constraints=dg.TableColumnConstraints(
            nullable=not column.required,
            unique=key == (column.name,),
            other=["primary key"] if column.name in key else [],
        ),
        tags={"classification": column.classification} if column.classification else None,
    )
