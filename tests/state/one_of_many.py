"""What each process does while seven others do it too."""

from dataclasses import replace
from multiprocessing.synchronize import Barrier

from mcai_pipelines.state import State
from tests.state.records import ADOPTED, SALES

ROUNDS = 5


def open_and_register(url: str, me: int, together: Barrier) -> None:
    """Open when all are ready, then write what is shared and what is this process's own."""
    together.wait(timeout=120)
    with State.open(url) as state:
        for turn in range(ROUNDS):
            state.register_table(SALES)
            state.register_table(replace(ADOPTED, key=f"mine/{me}", uri=f"/{me}/{turn}"))
            state.set_arrived_through("prod", f"source {me}", turn)
