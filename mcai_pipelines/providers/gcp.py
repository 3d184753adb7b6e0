"""The ``gcp`` provider: Google Cloud Storage.

Ambient credentials come from ``object_store``: the file that ``GOOGLE_APPLICATION_CREDENTIALS``
or ``gcloud auth application-default login`` leaves, or the metadata server. It renews tokens
before they expire.

Source of the keys: ``object_store::gcp::GoogleConfigKey``. An endpoint of one's own is part of
a service account's key file there (``gcs_base_url``), and so is that nobody need sign in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcai_pipelines.errors import BadInput
from mcai_pipelines.providers.secrets import remember_key_file

if TYPE_CHECKING:
    from mcai_pipelines.config import Site

SKIP_SIGNATURE = "google_skip_signature"
ENDPOINT = "google_base_url"

_KEY = "google_service_account_key"
_NOBODY = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
"""Unlike `SKIP_SIGNATURE`, it also writes without asking the metadata server for a token."""


def options(
    site: Site, root: str, keys: Mapping[str, str], env: Mapping[str, str]
) -> dict[str, str]:
    """``object_store`` keys for a site.

    Raises:
        BadInput: The key is no JSON object, or its file cannot be read.
    """
    key: dict[str, Any] | None = None
    if "service_account_file" in keys:
        key = _read(site, keys["service_account_file"])
    elif "service_account_key" in keys:
        key = _parse(site, keys["service_account_key"])
    elif site.endpoint and site.credentials == "anonymous":
        key = _NOBODY
    if key is None:
        return {}
    if site.endpoint:
        key = {**key, "gcs_base_url": site.endpoint.resolve(env).rstrip("/")}
    return {_KEY: json.dumps(key)}


def _read(site: Site, path: str) -> dict[str, Any]:
    try:
        return _parse(site, Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise _bad_key(
            site, f"the service account's file {path} cannot be read: {reason}"
        ) from None


def _parse(site: Site, text: str) -> dict[str, Any]:
    try:
        key = json.loads(text)
    except json.JSONDecodeError:
        key = None
    if not isinstance(key, dict):
        raise _bad_key(site, "the service account's key is not JSON")
    remember_key_file(key)
    return key


def _bad_key(site: Site, what: str) -> BadInput:
    return BadInput.at(
        f"site {site.name}", what, "use the JSON key file that Google Cloud's console gives"
    )
