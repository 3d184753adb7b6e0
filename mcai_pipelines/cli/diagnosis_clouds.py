"""What ``mcai doctor`` finds out about sites that are not folders: it tries them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput, McaiError, Problem

if TYPE_CHECKING:
    from mcai_pipelines.cli.diagnosis import Diagnosis
    from mcai_pipelines.config import Platform, Site
    from mcai_pipelines.providers import SiteStorage


def look_at_catalog(found: Diagnosis, site: Site, platform: Platform) -> None:
    """Ask the catalog of a site."""
    from mcai_pipelines.providers import open_site

    storage = open_site(site, platform.resolved_namespace(), os.environ)
    uri = site.catalog.uri if site.catalog else None
    where = (uri.where if uri else None) or f"sites.{site.name}.catalog"
    found.fact(f"site {site.name}", "catalog", _try_catalog(found, where, site, storage))


def look_at_cloud(found: Diagnosis, site: Site, platform: Platform) -> None:
    """Write, read, list and delete an object at a site, and ask its catalog."""
    from mcai_pipelines.providers import open_site

    section, where = f"site {site.name}", site.storage.where or f"sites.{site.name}.storage"
    try:
        storage = open_site(site, platform.resolved_namespace(), os.environ)
    except BadInput as error:
        found.fact(section, "storage", f"{site.storage.resolve()} (not tried)")
        found.problems.extend(problem for problem in error.problems if not _known(found, problem))
        return
    _try_storage(found, section, where, storage)
    if site.catalog is not None:
        look_at_catalog(found, site, platform)


def _known(found: Diagnosis, problem: Problem) -> bool:
    return problem in found.problems


def _try_storage(found: Diagnosis, section: str, where: str, storage: SiteStorage) -> None:
    from mcai_pipelines.lakehouse.failures import explain
    from mcai_pipelines.providers.probe import probe_storage

    failures = probe_storage(storage)
    for failure in failures:
        what = f"{section} does not let us {failure.permission}: {explain(failure.error)}"
        fix = f"allow the site's credentials to {failure.permission} below {storage.root}"
        found.problems.append(Problem(where, what, fix))
    state = "cannot " + ", ".join(f.permission for f in failures) if failures else "works"
    found.fact(section, "storage", f"{storage.root} ({state})")


def _try_catalog(found: Diagnosis, where: str, site: Site, storage: SiteStorage) -> str:
    from mcai_pipelines.cli.databases import shown_url
    from mcai_pipelines.lakehouse.failures import explain
    from mcai_pipelines.providers.probe import probe_catalog

    assert site.catalog is not None
    kind, uri = site.catalog.type, site.catalog.uri
    address = uri.resolve() if uri and not uri.missing() else ""
    shown = f"{kind} {shown_url(address) if kind == 'sql' else address}".strip()
    try:
        tables = probe_catalog(storage)
    except BadInput as error:
        found.problems.extend(problem for problem in error.problems if not _known(found, problem))
    except McaiError as error:
        found.problems.append(Problem(where, str(error), "see above"))
    except Exception as error:  # of PyIceberg, botocore, requests or SQLAlchemy
        what = f"the catalog of site {site.name} cannot be asked: {explain(error)}"
        found.problems.append(Problem(where, what, "see above"))
    else:
        return f"{shown} ({tables} tables)"
    return f"{shown} (not reachable)"
