"""``python -m mcai_pipelines.cli``: the same as ``mcai``."""

from mcai_pipelines.cli.app import main

main()
