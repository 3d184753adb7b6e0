"""A project in a temporary folder: two sites, and whatever contracts a test writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from mcai_pipelines.lakehouse.lake import Lake
from resources.lake import LakeIOManager, LakeResource

PLATFORM = """\
name: local
namespace: test
default_site: east
state: {url: "sqlite:///${MCAI_HOME}/state.db"}
dagster: {storage: sqlite}
sites:
  east:
    provider: aws
    region: us-east-1
    jurisdiction: US
    kind: public
    format: iceberg
    storage: "${MCAI_HOME}/sites/east"
    catalog: {type: sql, uri: "sqlite:///${MCAI_HOME}/east.db"}
  west:
    provider: azure
    region: westeurope
    jurisdiction: EU
    kind: public
    format: delta
    storage: "${MCAI_HOME}/sites/west"
"""


class Project:
    """A project's folder, and runs of its assets."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root = root
        self.instance = instance

    def contract(self, name: str, columns: str, extra: str = "") -> None:
        """Write ``contracts/NAME.yaml``; ``columns`` are YAML list items, one a line."""
        path = self.root / "contracts" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        items = "\n".join(f"      - {line.strip()}" for line in columns.strip().splitlines())
        path.write_text(
            f"apiVersion: v3.1.0\nkind: DataContract\nid: {name.replace('/', '.')}\n"
            f"version: 1.0.0\nstatus: active\n{extra}"
            f"schema:\n  - name: {name.split('/')[1]}\n    properties:\n{items}\n"
        )

    @property
    def lake(self) -> Lake:
        return Lake.open()

    def run(self, *assets: Any, **options: Any) -> dg.ExecuteInProcessResult:
        """Materialize assets in this process, as a run of this project's instance."""
        lake = LakeResource()
        return dg.materialize(
            list(assets),
            instance=self.instance,
            resources={"lake": lake, "io_manager": LakeIOManager(lake=lake)},
            **options,
        )
