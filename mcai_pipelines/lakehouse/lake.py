"""Every table of a platform, by key: declared by a contract, found again by the registry."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Self

from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.errors import TableNotFound
from mcai_pipelines.lakehouse.iceberg import IcebergLog, StaticIcebergLog
from mcai_pipelines.lakehouse.publish import open_log
from mcai_pipelines.lakehouse.schema import from_contract
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.providers import SiteStorage, open_site
from mcai_pipelines.state import State, TableRecord

if TYPE_CHECKING:
    from mcai_pipelines.config import Platform, Site
    from mcai_pipelines.contracts import Contract, ContractStore, External
    from mcai_pipelines.lakehouse.versions import Log, Version


class Lake:
    """The tables of one platform and namespace.

    Args:
        platform: Sites, storage, catalogs, state database and namespace.
        contracts: Where contracts are found, for tables adopted from elsewhere.
        env: What references in the platform file are resolved from.
    """

    def __init__(
        self, platform: Platform, contracts: ContractStore, env: Mapping[str, str] = os.environ
    ) -> None:
        self.platform = platform
        self.contracts = contracts
        self._env = env
        self._sites: dict[str, SiteStorage] = {}

    @classmethod
    def open(cls, env: Mapping[str, str] = os.environ) -> Self:
        """The lake of the platform that ``MCAI_PLATFORM`` chooses.

        Raises:
            BadInput: The platform file is missing or wrong.
        """
        from mcai_pipelines.config import load_platform, project_root
        from mcai_pipelines.contracts import ContractStore

        return cls(load_platform(env=env), ContractStore(project_root() / "contracts"), env)

    @property
    def namespace(self) -> str:
        """Keeps a developer's or branch's tables apart from production's."""
        return self.platform.resolved_namespace(self._env)

    @cached_property
    def state(self) -> State:
        """The state database, opened when first needed."""
        return State.open(self.platform.state.url.resolve(self._env))

    def site(self, name: str) -> Site:
        """A site of the platform.

        Raises:
            BadInput: The platform has no such site.
        """
        if name not in self.platform.sites:
            raise BadInput.at(
                f"platform {self.platform.name}",
                f"there is no site {name!r}",
                f"use one of: {', '.join(sorted(self.platform.sites))}",
            )
        return self.platform.sites[name]

    def site_storage(self, site: str) -> SiteStorage:
        """The storage of a site, opened once."""
        if site not in self._sites:
            self._sites[site] = open_site(self.site(site), self.namespace, self._env)
        return self._sites[site]

    # ------------------------------------------------------------------ writing side

    def declare(
        self,
        key: Sequence[str],
        site: str | None = None,
        contract: Contract | None = None,
        partition_by: Sequence[str] = (),
    ) -> Table:
        """The table that an asset writes, whether it exists yet or not.

        Args:
            key: The asset's key.
            site: Where it is kept; the platform's default site unless given.
            contract: What it must look like; without one, its first frame decides.
            partition_by: Partition columns of a table without a contract.

        Raises:
            BadInput: Unknown site, or the table exists in another format than asked for.
        """
        name = "/".join(key)
        place = self.site(site or self.platform.default_site)
        format = (contract.format if contract else None) or place.format
        known = self.state.table(self.namespace, name)
        if known is not None and known.site == place.name and known.format != format:
            raise BadInput.at(
                str(contract.source) if contract else name,
                f"table {name} is kept as {known.format} and would now be {format}",
                "the format of record cannot change in place: keep it and add a mirror, or give"
                " the table a new name",
            )
        storage = self.site_storage(place.name).table(tuple(key))
        mirror: str | None = contract.mirror if contract and contract.mirror != format else None
        if known is not None and known.site == place.name:
            mirror = mirror or known.mirror  # asked for by `mirror`
        return Table(
            name,
            storage,
            open_log(format, storage),
            open_log(mirror, storage) if mirror else None,
            schema=from_contract(contract) if contract else None,
            partition_by=contract.partition_by if contract else partition_by,
            source=str(contract.source) if contract else None,
            primary_key=contract.primary_key if contract else (),
            replica_of=known.replica_of if known is not None and known.site == place.name else None,
        )

    def register(self, table: Table, site: str | None, contract: str | None) -> None:
        """Remember where a table was written, so that readers find it by its key."""
        primary, *mirror = table.formats
        self.state.register_table(
            TableRecord(
                key=table.key,
                namespace=self.namespace,
                site=site or self.platform.default_site,
                format=primary,
                mirror=mirror[0] if mirror else None,
                uri=table.storage.uri,
                contract=contract,
                external=False,
                identifier=".".join(table.storage.identifier)
                if "iceberg" in table.formats
                else None,
                updated_at=dt.datetime.now(dt.UTC),
                replica_of=table.replica_of,
            )
        )

    def mirror(self, key: str, format: str) -> Version | None:
        """Publish an existing table in its other format too, and remember it.

        From then on whoever writes or reads the table through this lake keeps the mirror.

        Args:
            key: The table's.
            format: ``iceberg`` or ``delta``.

        Returns:
            The mirror's version; None where the table has not been written yet.

        Raises:
            See `Table.mirror_to`.
        """
        record, table = self.record(key), self.table(key)
        version = table.mirror_to(format)
        self.register(table, record.site, record.contract)
        return version

    # ------------------------------------------------------------------ reading side

    def records(self) -> list[TableRecord]:
        """Every table that was written in this namespace, and every adopted one."""
        adopted = [
            self._external_record(contract, contract.external)
            for contract in self.contracts.all()
            if contract.external is not None
        ]
        return sorted([*self.state.tables(self.namespace), *adopted], key=lambda r: r.key)

    def record(self, key: str) -> TableRecord:
        """Where the table with this key is.

        Raises:
            TableNotFound: Nothing was written under the key in this namespace.
        """
        record = self.state.table(self.namespace, key)
        if record is not None:
            return record
        for contract in self.contracts.all():
            if contract.external is not None and contract.id == key.replace("/", "."):
                return self._external_record(contract, contract.external)
        raise TableNotFound(self._not_found(key))

    def _not_found(self, key: str) -> str:
        from difflib import get_close_matches

        close = get_close_matches(key, [r.key for r in self.state.tables(self.namespace)], n=1)
        hint = f"did you mean {close[0]}?" if close else "materialize it first"
        return f"table {key} has not been written in namespace {self.namespace}; {hint}"

    def table(self, key: str) -> Table:
        """A table to read, by its key.

        Raises:
            TableNotFound: Nothing was written under the key in this namespace.
        """
        record = self.record(key)
        if record.external:
            return self._adopt(key, record)
        storage = self.site_storage(record.site).table(tuple(key.split("/")))
        mirror = open_log(record.mirror, storage) if record.mirror else None
        primary = open_log(record.format, storage)
        return Table(key, storage, primary, mirror, replica_of=record.replica_of)

    def _adopt(self, key: str, record: TableRecord) -> Table:
        identifier = tuple(record.identifier.split(".")) if record.identifier else ()
        storage = self.site_storage(record.site).adopted(record.uri, identifier)
        log: Log
        if record.format == "delta":
            log = DeltaLog(storage, adopted=True)
        else:
            log = IcebergLog(storage, adopted=True) if identifier else StaticIcebergLog(storage)
        return Table(key, storage, log, read_only=True)

    def _external_record(self, contract: Contract, external: External) -> TableRecord:
        uri = external.uri.resolve(self._env) if external.uri else ""
        return TableRecord(
            key=contract.id.replace(".", "/"),
            namespace=self.namespace,
            site=external.site,
            format=external.format,
            mirror=None,
            uri=uri,
            contract=contract.id.replace(".", "/"),
            external=True,
            identifier=external.catalog_table,
            updated_at=dt.datetime.now(dt.UTC),
        )
