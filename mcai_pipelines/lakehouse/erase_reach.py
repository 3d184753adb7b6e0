"""Which tables a subject's key leads to: by column, relationship, replica and lineage."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.versions import INPUTS

if TYPE_CHECKING:
    from mcai_pipelines.contracts import Contract
    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.state import TableRecord


@dataclass(frozen=True)
class Known:
    """A table of the namespace, as far as its logs tell.

    Attributes:
        record: Where it is.
        table: None where it cannot be opened.
        columns: Names of its columns.
        inputs: Key of each input to the versions of it that retained versions were made from.
        contract: Its contract, if it has one.
        error: Why it cannot be opened.
    """

    record: TableRecord
    table: Table | None = None
    columns: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    contract: Contract | None = None
    error: str = ""


def survey(lake: Lake) -> dict[str, Known]:
    """Every table of the namespace by key, adopted ones included."""
    return {record.key: _look(lake, record) for record in lake.records()}


def _look(lake: Lake, record: TableRecord) -> Known:
    try:
        contract = lake.contracts.get(record.contract) if record.contract else None
        table = lake.table(record.key)
        head = table.head()
        columns = tuple(field.name for field in head.schema.fields)
        return Known(record, table, columns, _inputs(table), contract)
    except McaiError as error:
        return Known(record, error=str(error))


def _inputs(table: Table) -> dict[str, tuple[int, ...]]:
    found: dict[str, set[int]] = {}
    for version in table.history():
        for key, number in json.loads(version.properties.get(INPUTS, "{}")).items():
            found.setdefault(key, set()).add(int(number))
    return {key: tuple(sorted(numbers)) for key, numbers in found.items()}


def reach(
    known: Mapping[str, Known], column: str, begin: Sequence[str] = ()
) -> dict[str, set[str]]:
    """Tables that may hold the subject's key, and in which columns.

    From each of them the search goes on to: tables whose contract relates a column to this one,
    or that this one's contract relates to; its replicas and its original; and, where it begins
    at chosen tables, to tables made from it that have a column of the same name.

    Args:
        known: All tables.
        column: Where the subject's key is.
        begin: Keys of the tables to begin at; every table with such a column unless given.
    """
    todo = [(key, column) for key in begin or known if column in known[key].columns]
    found: dict[str, set[str]] = {}
    while todo:
        key, name = todo.pop()
        if name in found.setdefault(key, set()):
            continue
        found[key].add(name)
        todo += [(k, n) for k, n in _next(known, key, name) if n in known[k].columns]
    return found


def _next(known: Mapping[str, Known], key: str, column: str) -> Iterable[tuple[str, str]]:
    here = known[key]
    for other, there in known.items():
        if key in there.inputs or there.record.replica_of == key or here.record.replica_of == other:
            yield other, column
        for name, target, target_column in _relations(there):
            if target_column == column and _names(here, target):
                yield other, name
        for name, target, target_column in _relations(here):
            if name == column and _names(there, target):
                yield other, target_column


def _relations(table: Known) -> Iterable[tuple[str, str, str]]:
    """Column, related table and its column, as the contract writes them.

    Format: Open Data Contract Standard 3.1, "Relationships": ``to: households.household_key``.
    """
    for column in table.contract.columns if table.contract else ():
        for relationship in column.relationships:
            for to in _each(relationship.get("to")):
                target, _, name = to.replace("/", ".").rpartition(".")
                yield column.name, target, name


def _each(to: Any) -> list[str]:
    return [to] if isinstance(to, str) else [part for part in to or () if isinstance(part, str)]


def _names(table: Known, name: str) -> bool:
    """Whether a relationship's table name means this table."""
    contract = table.contract
    if contract is None:
        return False
    last = name.rpartition(".")[2]
    return name == contract.id or last in (contract.table_name, contract.id.rpartition(".")[2])


def derived(
    known: Mapping[str, Known], holders: Iterable[str]
) -> dict[str, dict[str, tuple[int, ...]]]:
    """Tables made from the holders, however far down, that do not have the subject's key.

    Returns:
        Their keys, each with the versions of its inputs that lead to a holder.
    """
    affected = set(holders)
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    grew = True
    while grew:
        grew = False
        for key, table in known.items():
            inputs = {name: v for name, v in table.inputs.items() if name in affected}
            if inputs and key not in affected:
                affected.add(key)
                grew = True
            if inputs and key not in set(holders):
                found[key] = inputs
    return found
