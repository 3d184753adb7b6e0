"""The ``s3`` provider: S3-compatible stores that are not AWS (MinIO, Ceph, StorageGRID, …).

Source of the keys: ``object_store::aws::AmazonS3ConfigKey``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    from mcai_pipelines.config import Site

SKIP_SIGNATURE = "aws_skip_signature"
ENDPOINT = "aws_endpoint_url"


def options(
    site: Site, root: str, keys: Mapping[str, str], env: Mapping[str, str]
) -> dict[str, str]:
    """``object_store`` keys for a site.

    Raises:
        BadInput: The environment holds a session token or an endpoint that would win.
    """
    _refuse_what_the_environment_adds(site, keys, env)
    return {
        "aws_region": site.region,
        **{f"aws_{name}": value for name, value in keys.items()},
    }


def _refuse_what_the_environment_adds(
    site: Site, keys: Mapping[str, str], env: Mapping[str, str]
) -> None:
    """``object_store`` completes what a site says from the process's environment."""
    token = [name for name in ("AWS_SESSION_TOKEN", "AWS_TOKEN") if os.environ.get(name)]
    if keys and "session_token" not in keys and token:
        raise BadInput.at(
            f"site {site.name}",
            f"{token[0]} is set, and would be sent along with the site's own keys",
            f"unset {token[0]}, or write 'session_token: ${{NAME}}' if it belongs to them",
        )
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_S3")
    if site.endpoint is not None and elsewhere and elsewhere != site.endpoint.resolve(env):
        raise BadInput.at(
            f"site {site.name}",
            "AWS_ENDPOINT_URL_S3 is set, and would win over the site's own endpoint",
            "unset it, and write an endpoint into the platform file where a site needs one",
        )
