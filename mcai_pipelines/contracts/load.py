"""Loading contracts: one file, or all below ``contracts/``."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcai_pipelines.config.findings import shown_path
from mcai_pipelines.config.leaks import plain_secrets
from mcai_pipelines.config.wording import did_you_mean, quoted
from mcai_pipelines.config.yaml_source import Location, read_yaml
from mcai_pipelines.contracts.columns import read_columns
from mcai_pipelines.contracts.custom import Keeping, read_keeping
from mcai_pipelines.contracts.model import Column, Contract
from mcai_pipelines.contracts.odcs import CONTRACT
from mcai_pipelines.contracts.owners import read_owners
from mcai_pipelines.contracts.shape import Checker
from mcai_pipelines.contracts.types import unsupported
from mcai_pipelines.errors import BadInput, Problem

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SUPPORTED = re.compile(r"v3\.[01]\.[0-9]+")
_TABLE: Location = ("schema", 0)


def load_contract(path: Path, root: Path | None = None) -> Contract:
    """Read and check one ODCS contract (v3.0 or v3.1, one table).

    Args:
        path: The YAML file.
        root: The folder of contracts. The contract's id must be the path below it with dots;
            without a root, the id must be how the path ends.

    Raises:
        BadInput: With every problem of the file, ordered by line.
    """
    document = read_yaml(Path(path))
    checker = Checker(document)
    raw = checker.clean(CONTRACT, document.data, ())
    for broken in plain_secrets(document.data):
        checker.document.add(*broken)
    _check_header(checker, raw, Path(path), root)
    table = _only_table(checker, raw)
    columns = read_columns(checker, table.get("properties") or [], (*_TABLE, "properties"))
    keeping = read_keeping(checker, raw, table)
    owners = read_owners(checker, raw.get("team"))
    _check_formats(checker, columns, keeping)
    document.findings.raise_any()
    return _contract(raw, table, columns, keeping, owners, Path(path), document.data)


class ContractStore:
    """The contracts below one folder: ``retail/weekly_sales`` is ``retail/weekly_sales.yaml``."""

    def __init__(self, root: Path) -> None:
        """Look below ``root``, usually ``contracts/`` of the project; nothing is read yet."""
        self.root = Path(root)

    def names(self) -> list[str]:
        """Names of all contracts, sorted."""
        paths = (path.relative_to(self.root) for path in self.root.rglob("*.yaml"))
        return sorted(path.with_suffix("").as_posix() for path in paths if path.name[0] != ".")

    def get(self, name: str) -> Contract:
        """The contract of this name.

        Args:
            name: ``domain/table``.

        Raises:
            BadInput: When there is none, or its file has problems.
        """
        plain = all(_NAME.fullmatch(part) for part in name.split("/"))
        path = self.root / f"{name}.yaml"
        if plain and path.is_file():
            return load_contract(path, self.root)
        names = self.names()
        what = f"there is no contract {quoted(name)}"
        where = shown_path(path) if plain else "contract"
        raise BadInput.at(where, what, did_you_mean(name, names) if names else "write the file")

    def all(self) -> list[Contract]:
        """All contracts, sorted by name.

        Raises:
            BadInput: With the problems of all files.
        """
        contracts: list[Contract] = []
        problems: list[Problem] = []
        for name in self.names():
            try:
                contracts.append(load_contract(self.root / f"{name}.yaml", self.root))
            except BadInput as error:
                problems.extend(error.problems)
        if problems:
            raise BadInput(problems)
        return contracts


def _check_header(checker: Checker, raw: Mapping[str, Any], path: Path, root: Path | None) -> None:
    version = raw.get("apiVersion")
    if version is not None and not _SUPPORTED.fullmatch(version):
        what = f"the apiVersion {quoted(version)} is not supported"
        checker.document.add(("apiVersion",), what, "write v3.1.0 (v3.0.x and v3.1.x are read)")
    name = raw.get("id")
    if name is None:
        return
    parts = name.split(".")
    place = _place(path, root)
    if not all(_NAME.fullmatch(part) for part in parts):
        what = f"the id {quoted(name)} is not allowed"
        checker.document.add(
            ("id",), what, "use letters, digits and '_', with dots between the folders"
        )
    elif list(place[-len(parts) :]) != parts or (root and len(place) != len(parts)):
        expected = ".".join(place if root else place[-len(parts) :])
        what = f"the id {quoted(name)} does not match the path of the file"
        checker.document.add(("id",), what, f"write 'id: {expected}', or move the file")


def _place(path: Path, root: Path | None) -> tuple[str, ...]:
    """The parts of a path below the root, without the suffix; all of them when there is none."""
    absolute = Path(os.path.abspath(path))
    folder = Path(os.path.abspath(root or "/"))
    below = absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute
    return below.with_suffix("").parts


def _only_table(checker: Checker, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The only schema object; an empty mapping when there is not exactly one."""
    tables = raw.get("schema")
    if tables is None:
        return {}
    if len(tables) != 1:
        what = f"the contract has {len(tables)} schema objects, and must have one"
        fix = "write one contract per table" if tables else "add '- name: …' with its properties"
        checker.document.add(("schema", 1) if tables else ("schema",), what, fix)
        return {}
    table: dict[str, Any] = tables[0] or {}
    name = table.get("physicalName", table.get("name"))
    if name is not None and not _NAME.fullmatch(name):
        key = "physicalName" if "physicalName" in table else "name"
        what = f"the table name {quoted(name)} is not allowed"
        checker.document.add(
            (*_TABLE, key), what, "start with a letter; then letters, digits and '_'"
        )
    if not table.get("properties") and not checker.touched((*_TABLE, "properties")) and table:
        what = "the table has no columns"
        checker.document.add(
            (*_TABLE, "properties"), what, "add 'properties:' with one item per column"
        )
    return table


def _check_formats(checker: Checker, columns: list[Column], keeping: Keeping) -> None:
    for column in columns:
        for table_format in keeping.formats:
            if reason := unsupported(column.type, table_format):
                what = f"the column {column.name} is {column.type}: {reason}"
                fix = "use another type, or another format"
                checker.document.findings.add(column.line, what, fix)


def _contract(
    raw: Mapping[str, Any],
    table: Mapping[str, Any],
    columns: list[Column],
    keeping: Keeping,
    owners: tuple[str, ...],
    path: Path,
    data: Mapping[str, Any],
) -> Contract:
    keys = [(column.primary_key, column.name) for column in columns if column.primary_key]
    partitions = [(column.partition, column.name) for column in columns if column.partition]
    table_name = table.get("physicalName", table["name"])
    first, _, rest = raw["id"].partition(".")
    return Contract(
        id=raw["id"],
        version=raw["version"],
        status=raw["status"],
        name=raw.get("name", table_name),
        domain=raw.get("domain", first if rest else None),
        description=table.get("description") or raw.get("description", {}).get("purpose", ""),
        owners=owners,
        tags=tuple(dict.fromkeys((*raw.get("tags", ()), *table.get("tags", ())))),
        table_name=table_name,
        columns=tuple(columns),
        partition_by=tuple(name for _, name in sorted(partitions)),
        primary_key=tuple(name for _, name in sorted(keys)),
        format=keeping.format,
        mirror=keeping.mirror,
        external=keeping.external,
        history=keeping.history,
        quality=tuple(table.get("quality", ())),
        sla=tuple(raw.get("slaProperties", ())),
        source=path,
        raw=data,
    )
