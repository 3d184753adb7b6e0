"""Emulated clouds on this machine: moto, Azurite, fake-gcs-server and PostgreSQL.

``platforms/emulated.yaml`` puts its sites on them. They are for development and tests: what they
hold is thrown away when they stop for good.
"""

from mcai_pipelines.emulators.clouds import EMULATORS, Clouds, known, running
from mcai_pipelines.emulators.record import Entry

__all__ = ["EMULATORS", "Clouds", "Entry", "known", "running"]
