"""Objects copied from one S3 service to another with obstore alone: read, and written again.

    python benchmarks/baselines/obstore_copy.py --source s3://one/prefix --target s3://two/prefix \
      --source-endpoint http://127.0.0.1:5000 --target-endpoint http://127.0.0.1:5001

Keys are taken from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY). It verifies
nothing: no checksum, no second look.
"""

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import obstore
from obstore.store import ObjectStore, from_url


def objects_of(store: ObjectStore) -> list[str]:
    """Paths of all objects below the store's prefix."""
    return [item["path"] for page in obstore.list(store) for item in page]


def copy_all(source: ObjectStore, target: ObjectStore, paths: Sequence[str], streams: int) -> None:
    """Copy the objects, several at once."""

    def copy(path: str) -> None:
        obstore.put(target, path, obstore.get(source, path).bytes())

    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(copy, paths))


def main() -> None:
    """Copy what the arguments say, and print the time it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    for side in ("source", "target"):
        parser.add_argument(f"--{side}", required=True)
        parser.add_argument(f"--{side}-endpoint", required=True)
    parser.add_argument("--streams", type=int, default=8)
    given = parser.parse_args()
    source, target = (
        from_url(url, endpoint=endpoint, region="us-east-1", client_options={"allow_http": True})
        for url, endpoint in (
            (given.source, given.source_endpoint),
            (given.target, given.target_endpoint),
        )
    )
    paths = objects_of(source)
    began = time.perf_counter()
    copy_all(source, target, paths, given.streams)
    print(json.dumps({"objects": len(paths), "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
