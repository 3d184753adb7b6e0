"""The typed model of one ``platforms/*.yaml``: sites, catalogs, state and Dagster storage.

Models are frozen and refuse unknown keys. Addresses and credentials stay ``EnvString`` templates
until something connects. Reading the file, and wording what is wrong with it, is ``load``'s.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from mcai_pipelines.config import rules
from mcai_pipelines.config.env import EnvString
from mcai_pipelines.config.findings import Broken
from mcai_pipelines.config.wording import did_you_mean, quoted
from mcai_pipelines.errors import BadInput

Provider = Literal["aws", "azure", "gcp", "s3", "local"]
SiteKind = Literal["public", "private", "edge"]
TableFormat = Literal["iceberg", "delta"]

Credentials = Annotated[
    Annotated[Literal["workload-identity", "ambient", "anonymous"], Tag("word")]
    | Annotated[Mapping[str, EnvString], Tag("keys")],
    Discriminator(lambda value: "keys" if isinstance(value, Mapping) else "word"),
]
"""Where a site's credentials come from.

``workload-identity`` is the identity of the pod or machine, ``ambient`` whatever the environment
offers (that too, and keys in its variables), ``anonymous`` none at all: requests are not signed.
Otherwise the keys of the provider (`connection.CREDENTIAL_KEYS`), each a reference.
"""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Catalog(_Model):
    """The Iceberg catalog of a site.

    ``sql`` is SQLite or PostgreSQL, ``rest`` an Iceberg REST server (Polaris, Lakekeeper, Unity),
    ``glue`` AWS Glue, where ``uri`` is only needed to name another endpoint. A REST server is
    asked with ``token`` (a bearer token) or ``credential`` (``CLIENT_ID:CLIENT_SECRET``, for
    OAuth 2.0), where it wants either.
    """

    type: Literal["sql", "glue", "rest"] = Field(examples=["sql"])
    uri: EnvString | None = None
    warehouse: EnvString | None = None
    name: str | None = None
    token: EnvString | None = None
    credential: EnvString | None = None


class Site(_Model):
    """Where data and compute live: provider, region, jurisdiction and kind.

    Attributes:
        name: Its key in the platform file.
        provider: ``s3`` is any S3-compatible store that is not AWS; ``local`` is a disk.
        region: The provider's own name of the region, free text elsewhere.
        jurisdiction: ISO 3166 country code, or ``EU``, ``EEA``, ``UK``. Policy reads it.
        kind: Public cloud, private cloud or edge.
        format: The format of record of tables whose contract names none.
        storage: A folder, or a URL of the provider's object store.
        catalog: Needed when the format is Iceberg; on a Delta site it serves Iceberg mirrors.
        credentials: How to authenticate; None is ``ambient``.
        endpoint: URL of the object store where it is not the provider's own; S3-compatible
            stores need one. Only ``http://`` makes the connection a plain one.
        ca_file: PEM file of certificates to trust besides the system's.
        proxy: URL of the HTTP proxy that requests go through.
    """

    name: str
    provider: Provider = Field(examples=["aws"])
    region: str = Field(examples=["eu-central-1"])
    jurisdiction: str = Field(examples=["DE"])
    kind: SiteKind = Field(examples=["public"])
    format: TableFormat = Field(examples=["iceberg"])
    storage: EnvString = Field(examples=["${MCAI_HOME}/sites/NAME"])
    catalog: Catalog | None = None
    credentials: Credentials | None = None
    endpoint: EnvString | None = Field(default=None, examples=["https://s3.example.com"])
    ca_file: EnvString | None = Field(default=None, examples=["/etc/ssl/private-ca.pem"])
    proxy: EnvString | None = Field(default=None, examples=["http://proxy.example.com:3128"])

    @property
    def slug(self) -> str:
        """The name with ``_`` for ``-``, as asset keys and SQL identifiers need it."""
        return self.name.replace("-", "_")

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        _raise_broken(rules.site_rules(self.name, self.model_dump()))
        return self


class StateDatabase(_Model):
    """The database of plans, journal and outbox: ``sqlite://`` or ``postgresql://``."""

    url: EnvString = Field(examples=["sqlite:///${MCAI_HOME}/state.db"])


class DagsterStorage(_Model):
    """Where Dagster keeps runs and events: SQLite in ``MCAI_HOME/dagster``, or PostgreSQL.

    ``compute_logs`` names the site whose storage keeps what steps print; without it they stay on
    the machine that ran the step.
    """

    storage: Literal["sqlite", "postgres"] = Field(default="sqlite", examples=["sqlite"])
    url: EnvString | None = None
    compute_logs: str | None = Field(default=None, examples=["SITE"])


class Platform(_Model):
    """Everything in one platform file.

    The **namespace** keeps people and branches apart. It is part of every table's path, of every
    catalog name and of the journal, so a run under ``alice`` or ``branch-42`` reads and writes
    tables of its own and can never touch those of ``prod``, even with the same platform file,
    buckets and credentials. Give production its namespace in the deployment's environment and
    let everything else default to another.

    Attributes:
        name: The file name without ``.yaml`` unless the file says otherwise.
        namespace: Resolves to ``[a-z][a-z0-9_-]*``; see ``resolved_namespace``.
        default_site: The site of an asset that names none.
        sites: By name, in the order of the file.
        state: Default: SQLite in ``MCAI_HOME``.
        dagster: Default: SQLite in ``MCAI_HOME``.
    """

    name: str
    namespace: EnvString = Field(examples=["${MCAI_NAMESPACE:-local}"])
    default_site: str = Field(examples=["SITE"])
    sites: Mapping[str, Site] = Field(min_length=1, examples=["{NAME: {provider: …}}"])
    state: StateDatabase = StateDatabase(url=EnvString("sqlite:///${MCAI_HOME}/state.db"))
    dagster: DagsterStorage = DagsterStorage()

    def site(self, name: str) -> Site:
        """The site of this name or slug.

        Raises:
            BadInput: When there is none.
        """
        for site in self.sites.values():
            if name in (site.name, site.slug):
                return site
        what = f"the platform {self.name} has no site {quoted(name)}"
        raise BadInput.at("site", what, did_you_mean(name, self.sites))

    def resolved_namespace(self, env: Mapping[str, str] = os.environ) -> str:
        """The namespace with its variables expanded.

        Raises:
            BadInput: When a variable is missing, or the result is not ``[a-z][a-z0-9_-]*``.
        """
        namespace = self.namespace.resolve(env)
        for broken in rules.namespace_rules({"namespace": namespace}):
            raise BadInput.at(self.namespace.where or "namespace", broken.what, broken.fix)
        return namespace

    @model_validator(mode="before")
    @classmethod
    def _name_sites(cls, data: object) -> object:
        """Give each site the name it has as a key; writing ``name`` inside is refused."""
        sites = data.get("sites") if isinstance(data, Mapping) else None
        if not isinstance(data, Mapping) or not isinstance(sites, Mapping):
            return data
        named = {
            key: {**site, "name": key} if isinstance(site, Mapping) else site
            for key, site in sites.items()
        }
        return {**data, "sites": named}

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        _raise_broken(rules.platform_rules(self.model_dump()))
        return self


def _raise_broken(broken: Iterable[Broken]) -> None:
    for _, what, fix in broken:
        raise PydanticCustomError("broken_rule", "{what}; {fix}", {"what": what, "fix": fix})
