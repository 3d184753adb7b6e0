"""Writers at once, over the wire: every row is there once.

Proven for Delta, whose commits are conditional writes, and for Iceberg in a SQL catalog. Not for
Glue: moto accepts a commit that is based on a version that another commit has replaced.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import polars as pl
import pytest

from mcai_pipelines.config import Catalog, EnvString
from mcai_pipelines.emulators import Clouds, Entry
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.providers import open_site
from tests.providers.conftest import BOTH, make_site, table_at

WRITERS, APPENDS = 4, 2


@pytest.mark.parametrize("cloud", ["aws", "azure"])
@pytest.mark.parametrize(("primary", "mirror"), BOTH)
def test_four_writers(
    clouds: Clouds, postgres: Entry, cloud: str, primary: str, mirror: str
) -> None:
    clouds.start([cloud])
    namespace = f"test-{uuid4().hex[:12]}"
    uri = EnvString("${MCAI_EMULATED_POSTGRES_URL}/catalog_" + cloud)
    site = make_site(cloud, catalog=Catalog(type="sql", uri=uri))

    def opened() -> Table:
        storage = open_site(site, namespace, clouds.env).table(("retail", "sales"))
        return table_at(storage, primary, mirror)

    def append(writer: int) -> None:
        table = opened()
        for number in range(APPENDS):
            table.write(pl.DataFrame({"writer": [writer], "number": [number]}))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(append, range(WRITERS)))

    table = opened()
    expected = [(writer, number) for writer in range(WRITERS) for number in range(APPENDS)]
    for format in table.formats:
        assert sorted(table.scan(format=format).collect().rows()) == expected, format
    assert len(table.history()) == len(expected)
