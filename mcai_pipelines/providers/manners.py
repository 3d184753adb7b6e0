"""How patiently every client of a store or a catalog asks: object stores, Glue, REST."""

CONNECT_SECONDS = 5
"""To open a connection."""
REQUEST_SECONDS = 60
"""For one request with its whole body; a part of a large file has at most some tens of MiB."""
RETRIES = 6
"""After a server error, a throttled request or a lost connection."""
RETRY_SECONDS = 90
"""After which no further retry begins."""
FIRST_BACKOFF_MS = 100
"""Before the first retry; each later one waits up to twice as long, with jitter."""
LONGEST_BACKOFF_MS = 10_000
