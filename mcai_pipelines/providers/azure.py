"""The ``azure`` provider: Azure Blob Storage and Data Lake Storage Gen2.

Ambient credentials come from ``object_store``: keys in variables, AKS workload identity
(``AZURE_FEDERATED_TOKEN_FILE``), or a managed identity. It renews tokens before they expire.

Source of the keys: ``object_store::azure::AzureConfigKey``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mcai_pipelines.config import Site

SKIP_SIGNATURE = "azure_skip_signature"
ENDPOINT = "azure_storage_endpoint"

_KEYS = {
    "account_key": "azure_storage_account_key",
    "sas_token": "azure_storage_sas_key",
    "client_id": "azure_storage_client_id",
    "client_secret": "azure_storage_client_secret",
    "tenant_id": "azure_storage_tenant_id",
}


def options(
    site: Site, root: str, keys: Mapping[str, str], env: Mapping[str, str]
) -> dict[str, str]:
    """``object_store`` keys for a site whose root is ``abfss://CONTAINER@ACCOUNT.…``."""
    account = (urlsplit(root).hostname or "").partition(".")[0]
    return {
        "azure_storage_account_name": account,
        **{_KEYS[name]: value for name, value in keys.items()},
    }
