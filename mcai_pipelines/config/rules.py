"""What must hold between the keys of a platform, beyond the type of each.

The rules read plain data (the parsed YAML, or the dump of a model) and skip what has the wrong
type, so that a file with one wrong key still hears about all its other problems. They run twice:
on the templates when a file is loaded, where a value that starts with a variable is not judged,
and on resolved values in ``unresolved``. No message shows a resolved value.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mcai_pipelines.config.connection import connection_rules
from mcai_pipelines.config.findings import Broken
from mcai_pipelines.config.jurisdictions import JURISDICTIONS, LEGAL_AREAS
from mcai_pipelines.config.wording import closest, did_you_mean, quoted
from mcai_pipelines.config.yaml_source import Location

Raw = Mapping[str, Any]

STORAGE_SCHEMES = {
    "aws": ("s3",),
    "azure": ("abfss",),
    "gcp": ("gs",),
    "s3": ("s3",),
    "local": (),
}
"""Provider → URL schemes of its object store. A folder or ``file://`` is always allowed."""

NAMESPACE = re.compile(r"[a-z][a-z0-9_-]*")
SITE_NAME = re.compile(r"[a-z][a-z0-9_-]*")

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9.-]*)(?:\+[a-z0-9_]+)?://")


def platform_rules(platform: Raw) -> Iterator[Broken]:
    """Every broken rule of a platform and its sites."""
    yield from namespace_rules(platform)
    state, dagster = _mapping(platform, "state"), _mapping(platform, "dagster")
    yield from _database(state.get("url"), ("state", "url"), ("sqlite", "postgresql"))
    yield from _dagster_rules(dagster)
    for name, site in _sites(platform).items():
        for broken in site_rules(name, site):
            yield broken._replace(location=("sites", name, *broken.location))
    yield from between_sites(platform)


def namespace_rules(platform: Raw) -> Iterator[Broken]:
    """A namespace becomes part of paths and catalog names on every cloud."""
    namespace = _known(platform.get("namespace"))
    if namespace is not None and not NAMESPACE.fullmatch(namespace):
        what = f"the namespace {quoted(namespace)} is not allowed"
        fix = "start with a lower-case letter; then lower-case letters, digits, '_' and '-'"
        yield Broken(("namespace",), what, fix)


def site_rules(name: str, site: Raw) -> Iterator[Broken]:
    """Every broken rule of one site, locations relative to the site."""
    if site.get("name", name) != name:
        yield Broken(("name",), f"the name of a site is its key, here {name}", "remove this line")
    if not SITE_NAME.fullmatch(name):
        fix = "start with a lower-case letter; then lower-case letters, digits, '_' and '-'"
        yield Broken((), f"the site name {quoted(name)} is not allowed", fix)
    yield from _jurisdiction(site.get("jurisdiction"))
    yield from _storage(site)
    yield from connection_rules(site)
    if isinstance(site.get("catalog"), Mapping):
        yield from _catalog(site, _mapping(site, "catalog"))
    elif site.get("catalog") is None and site.get("format") == "iceberg":
        fix = "add 'catalog: {type: sql, uri: \"sqlite:///${MCAI_HOME}/catalogs/NAME.db\"}'"
        yield Broken((), f"site {name} has the format iceberg but no catalog", fix)


def between_sites(platform: Raw) -> Iterator[Broken]:
    """What one site may not share with another, and the default site."""
    sites = _sites(platform)
    yield from _compute_logs(_mapping(platform, "dagster").get("compute_logs"), sites)
    default = platform.get("default_site")
    if sites and isinstance(default, str) and default not in sites:
        what = f"default_site {quoted(default)} is not one of the sites"
        yield Broken(("default_site",), what, did_you_mean(default, sites))
    slugs: dict[str, str] = {}
    catalogs: dict[tuple[str, str], str] = {}
    for name, site in sites.items():
        other = slugs.setdefault(name.replace("-", "_"), name)
        if other != name:
            what = f"the sites {other} and {name} have the same name once '-' is written as '_'"
            yield Broken(("sites", name), what, "rename one of them")
        catalog = _catalog_identity(site)
        if catalog and (other := catalogs.setdefault(catalog, name)) != name:
            what = f"site {name} has the same catalog as site {other}"
            yield Broken(("sites", name, "catalog", "uri"), what, "give each site its own catalog")
    yield from _shared_storage(sites)


def _compute_logs(name: object, sites: Mapping[str, Raw]) -> Iterator[Broken]:
    here = ("dagster", "compute_logs")
    if not sites or not isinstance(name, str):
        return
    if name not in sites:
        yield Broken(here, f"there is no site {quoted(name)}", did_you_mean(name, sites))
        return
    storage = sites[name].get("storage")
    if isinstance(storage, str) and _is_folder(storage):
        what = f"the storage of site {name} is a folder, and Dagster keeps logs in one anyway"
        yield Broken(here, what, "name a site with an object store, or remove this line")


def _shared_storage(sites: Mapping[str, Raw]) -> Iterator[Broken]:
    # Removing the orphan files of one site would delete the tables of a site inside its storage.
    roots = [
        (_root(site["storage"]), name)
        for name, site in sites.items()
        if isinstance(site.get("storage"), str)
    ]
    around: list[tuple[str, str]] = []
    for root, name in sorted(roots, key=lambda found: found[0]):  # an outer folder comes first
        while around and not root.startswith(around[-1][0]):
            around.pop()
        if around:
            outer, other = around[-1]
            how = "is that" if root == outer else "lies inside that"
            what = f"the storage of site {name} {how} of site {other}"
            yield Broken(("sites", name, "storage"), what, "give each site a folder of its own")
        around.append((root, name))


def _jurisdiction(value: object) -> Iterator[Broken]:
    if not isinstance(value, str) or value in JURISDICTIONS:
        return
    near = closest(value, sorted(JURISDICTIONS)) if len(value) <= 3 else None
    fix = f"use an ISO 3166 country code such as DE or US, or one of {', '.join(LEGAL_AREAS)}"
    what = f"the jurisdiction {quoted(value)} is not known"
    yield Broken(("jurisdiction",), what, f"did you mean {near}? Otherwise {fix}" if near else fix)


def _storage(site: Raw) -> Iterator[Broken]:
    storage, provider = _known(site.get("storage")), str(site.get("provider"))
    schemes = STORAGE_SCHEMES.get(provider)
    if storage is None or schemes is None or _is_folder(storage):
        return
    scheme = _SCHEME.match(storage)
    if scheme and scheme[1] in schemes:
        return
    urls = "".join(f"{known}://… or " for known in schemes)
    if scheme:
        what = f"a site of the provider {provider} cannot store its tables at {scheme[1]}://"
    else:
        what = "the storage is neither an absolute folder nor a URL"
    fix = f"use {urls}an absolute folder such as ${{MCAI_HOME}}/sites/NAME"
    yield Broken(("storage",), what, fix)


def _catalog(site: Raw, catalog: Raw) -> Iterator[Broken]:
    kind, uri = catalog.get("type"), catalog.get("uri")
    here = ("catalog", "type")
    if kind == "glue" and site.get("provider") != "aws":
        what = f"a glue catalog needs the provider aws, not {site.get('provider')}"
        yield Broken(here, what, "use a sql or rest catalog")
    if kind != "rest":
        for key in ("token", "credential", "warehouse"):
            if catalog.get(key) is not None:
                what = f"a {kind} catalog takes no {key}"
                yield Broken(("catalog", key), what, "remove this key, or write 'type: rest'")
    elif catalog.get("token") is not None and catalog.get("credential") is not None:
        what = "a rest catalog is asked with a token or a credential, not both"
        yield Broken(("catalog", "token"), what, "remove one of them")
    if kind in ("sql", "rest") and uri is None:
        example = "https://…" if kind == "rest" else "postgresql://…"
        yield Broken(here, f"a {kind} catalog needs a uri", f"add 'uri: {example}'")
    if kind == "glue":
        yield from _database(uri, ("catalog", "uri"), ("https", "http"))
    elif kind == "sql":
        yield from _database(uri, ("catalog", "uri"), ("sqlite", "postgresql"))
    elif kind == "rest":
        yield from _database(uri, ("catalog", "uri"), ("https", "http"))


def _dagster_rules(dagster: Raw) -> Iterator[Broken]:
    kind, url = dagster.get("storage", "sqlite"), dagster.get("url")
    here = ("dagster", "url")
    if kind == "postgres" and url is None:
        fix = "add 'url: postgresql://…' below dagster"
        yield Broken(("dagster", "storage"), "the storage postgres needs a url", fix)
    elif kind == "postgres":
        yield from _database(url, here, ("postgresql",))
    elif kind == "sqlite" and url is not None:
        what = "the storage sqlite takes no url: it lies in MCAI_HOME/dagster"
        yield Broken(here, what, "remove the url, or write 'storage: postgres'")


def _database(url: object, location: Location, schemes: tuple[str, ...]) -> Iterator[Broken]:
    text = _known(url)
    if text is None:
        return
    scheme = _SCHEME.match(text)
    if not scheme or scheme[1] not in schemes:
        allowed = " or ".join(f"{known}://" for known in schemes)
        yield Broken(
            location, f"{location[-1]} must start with {allowed}", f"write {schemes[0]}://…"
        )


def _catalog_identity(site: Raw) -> tuple[str, str] | None:
    """What makes a catalog a catalog of its own; None when it has no address."""
    catalog = _mapping(site, "catalog")
    uri = catalog.get("uri")
    if not isinstance(uri, str) or catalog.get("type") not in ("sql", "rest"):
        return None
    # One REST server serves many catalogs, told apart by warehouse.
    warehouse = catalog.get("warehouse") if catalog["type"] == "rest" else None
    return uri.rstrip("/"), str(warehouse or "")


def _known(value: object) -> str | None:
    """Text whose beginning is known: not a variable that may stand for anything."""
    if not isinstance(value, str):
        return None
    return None if "$" in value and not _is_folder(value) and not _SCHEME.match(value) else value


def _is_folder(text: str) -> bool:
    return text.startswith(("/", "${MCAI_HOME}", "file://"))


def _root(storage: str) -> str:
    return storage.removeprefix("file://").rstrip("/") + "/"


def _mapping(raw: Raw, key: str) -> Raw:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _sites(platform: Raw) -> dict[str, Raw]:
    sites = _mapping(platform, "sites")
    return {str(name): site for name, site in sites.items() if isinstance(site, Mapping)}
