"""The records that the tests register; light, because every process of a test imports it."""

from datetime import UTC, datetime

from mcai_pipelines.state import TableRecord

NOON = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
SALES = TableRecord(
    key="global/weekly_sales",
    namespace="prod",
    site="aws-us-east-1",
    format="iceberg",
    mirror="delta",
    uri="/lake/global/weekly_sales",
    contract="retail/weekly_sales",
    external=False,
    identifier="prod.global.weekly_sales",
    updated_at=NOON,
)
ADOPTED = TableRecord(
    key="global/rates",
    namespace="prod",
    site="private-frankfurt",
    format="delta",
    mirror=None,
    uri="s3://elsewhere/rates",
    contract=None,
    external=True,
    identifier=None,
    updated_at=NOON,
)
