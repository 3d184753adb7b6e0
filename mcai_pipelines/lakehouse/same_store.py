"""Whether two tables lie in one bucket, so that the service itself can copy between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import ObjectStore


def within_one_store(
    source: ObjectStore, target: ObjectStore
) -> tuple[ObjectStore, str, str] | None:
    """The bucket that holds both, and the prefix of each; None where there is none.

    Only of S3 and its likes: their mark of an object may be an MD5 of its bytes, by which a copy
    is verified. A folder's copy would be a hard link, which is no second copy.

    Args:
        source: The store of one table's root.
        target: That of another.
    """
    from obstore.store import S3Store

    if not (isinstance(source, S3Store) and isinstance(target, S3Store)):
        return None
    if source.config != target.config or source.client_options != target.client_options:
        return None  # another bucket, endpoint or key
    if source.credential_provider is not target.credential_provider:
        return None
    bucket = S3Store(
        config=source.config,
        client_options=source.client_options,
        retry_config=source.retry_config,
        credential_provider=source.credential_provider,
    )
    return bucket, source.prefix or "", target.prefix or ""
