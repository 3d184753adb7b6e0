"""The ``aws`` provider: Amazon S3, with what AWS itself adds to the protocol.

Ambient credentials come from ``object_store``: keys in variables, a web identity token
(``AWS_WEB_IDENTITY_TOKEN_FILE``), a container's endpoint (ECS, EKS Pod Identity), or the
instance's metadata. It renews them before they expire. It reads no profile and no single
sign-on session of ``~/.aws``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput
from mcai_pipelines.providers import s3

if TYPE_CHECKING:
    from mcai_pipelines.config import Site

SKIP_SIGNATURE = s3.SKIP_SIGNATURE
ENDPOINT = s3.ENDPOINT

_SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def options(
    site: Site, root: str, keys: Mapping[str, str], env: Mapping[str, str]
) -> dict[str, str]:
    """``object_store`` keys for a site.

    Raises:
        BadInput: The environment asks for a profile, which ``object_store`` does not read.
    """
    ambient = not keys and site.credentials != "anonymous"
    if ambient and env.get("AWS_PROFILE") and not any(env.get(name) for name in _SOURCES):
        raise BadInput.at(
            f"site {site.name}",
            "AWS_PROFILE is set, and profiles and single sign-on are not read",
            'put its keys into the environment: eval "$(aws configure export-credentials'
            ' --format env)"',
        )
    return s3.options(site, root, keys, env)
