"""The platform and contracts that definitions are built with, each read once per process."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mcai_pipelines.config import load_platform, platform_file, project_root
from mcai_pipelines.contracts import ContractStore

if TYPE_CHECKING:
    from mcai_pipelines.config import Platform


def current_platform() -> Platform:
    """The platform that ``MCAI_PLATFORM`` chooses.

    Raises:
        BadInput: Its file is missing or wrong.
    """
    return _platform(platform_file())


def current_contracts() -> ContractStore:
    """The contracts of this project."""
    return _contracts(project_root())


@cache
def _platform(file: Path) -> Platform:
    return load_platform(file)


@cache
def _contracts(root: Path) -> ContractStore:
    return ContractStore(root / "contracts")
