"""Writing an object only if its name is free: what commits rest on."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError

from mcai_pipelines.providers import manners

if TYPE_CHECKING:
    from obstore.store import ObjectStore


def create(store: ObjectStore, path: str, data: bytes) -> None:
    """Put an object under a name that is free.

    ``object_store`` repeats no such request when the connection is lost, because the first may
    have arrived. Here it is repeated, and an object that is there is compared with what was to
    be: data that nobody else writes (it holds a random id) was put by a request whose answer was
    lost.

    Raises:
        AlreadyExistsError: Another object has the name.
    """
    for attempt in range(manners.RETRIES + 1):
        try:
            obstore.put(store, path, data, mode="create")
            return
        except AlreadyExistsError:
            if bytes(obstore.get(store, path).bytes()) != data:
                raise
            return
        except GenericError as error:
            if attempt == manners.RETRIES or "HTTP error" not in str(error):
                raise
        longest = min(manners.FIRST_BACKOFF_MS << attempt, manners.LONGEST_BACKOFF_MS)
        time.sleep(random.uniform(0, longest) / 1000)
