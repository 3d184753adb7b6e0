"""Trusting certificate authorities of one's own, besides the system's.

Of the three libraries only obstore takes certificates as an option. All of them, and what they
ask for tokens, read the file that ``SSL_CERT_FILE`` names when they open a connection. So the
process gets one such file with the system's certificates and those of every site, and what one
site trusts, the whole process does.
"""

from __future__ import annotations

import atexit
import os
import ssl
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcai_pipelines.config import Site

_VARIABLE = "SSL_CERT_FILE"
_lock = threading.Lock()


def trust_site(site: Site, env: Mapping[str, str]) -> str | None:
    """Trust what a site's ``ca_file`` holds, in this process.

    Args:
        site: From the platform file.
        env: Environment that its references are resolved from.

    Returns:
        The file of all that is trusted, for clients that want to be told; None where the site
        has no certificates of its own.

    Raises:
        BadInput: The file cannot be read, or holds no certificate.
    """
    if site.ca_file is None:
        return None
    text = _certificates(site.ca_file.where or f"site {site.name}", site.ca_file.resolve(env))
    bundle = _bundle()
    with _lock:
        known = bundle.read_text(encoding="utf-8")
        if text not in known:
            grown = bundle.with_suffix(".new")
            grown.write_text(f"{known}\n{text}", encoding="utf-8")
            grown.replace(bundle)
        os.environ[_VARIABLE] = str(bundle)
    return str(bundle)


@cache
def _bundle() -> Path:
    """This process's file, with the system's certificates in it."""
    folder = tempfile.TemporaryDirectory(prefix="mcai-certificates-")
    atexit.register(folder.cleanup)
    file = Path(folder.name, "trusted.pem")
    paths = ssl.get_default_verify_paths()
    system = next((p for p in (os.environ.get(_VARIABLE), paths.cafile) if p and _is_file(p)), None)
    if system is None:
        import certifi

        system = certifi.where()
    file.write_text(Path(system).read_text(encoding="utf-8"), encoding="utf-8")
    return file


def _is_file(path: str) -> bool:
    return Path(path).is_file()


def _certificates(where: str, path: str) -> str:
    fix = "name a PEM file of certificates"
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise BadInput.at(where, f"the ca_file {path} cannot be read: {reason}", fix) from None
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise BadInput.at(where, f"the ca_file {path} holds no certificate", fix)
    return text
