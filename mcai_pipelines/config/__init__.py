"""Platform files into a typed model, and the YAML reader that contracts share.

Nothing here connects to anything: values of environment variables appear only where an
``EnvString`` is resolved.
"""

from mcai_pipelines.config.env import EnvString
from mcai_pipelines.config.load import load_platform, platform_file, unresolved
from mcai_pipelines.config.places import dagster_home, home, project_root
from mcai_pipelines.config.platform import (
    Catalog,
    DagsterStorage,
    Platform,
    Site,
    StateDatabase,
    TableFormat,
)

__all__ = [
    "Catalog",
    "DagsterStorage",
    "EnvString",
    "Platform",
    "Site",
    "StateDatabase",
    "TableFormat",
    "dagster_home",
    "home",
    "load_platform",
    "platform_file",
    "project_root",
    "unresolved",
]
