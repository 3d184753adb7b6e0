"""Owners from the ODCS team: a list of members in v3.0, a mapping with members since v3.1."""

import re
from typing import Any

from mcai_pipelines.config.wording import quoted
from mcai_pipelines.config.yaml_source import Location
from mcai_pipelines.contracts.shape import Checker

# What Dagster accepts as the owner of an asset besides team:NAME.
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")
_TEAM = "team:"


def read_owners(checker: Checker, team: Any) -> tuple[str, ...]:
    """The owners that Dagster can show, each once, in the order of the file.

    They are the team itself, when it has a name, and its members. A member with a ``dateOut`` has
    left and owns nothing.

    Args:
        checker: Has already checked the shape of ``team``.
        team: The cleaned ODCS ``team``, or None.
    """
    owners: list[str] = []
    members = team or []
    location: Location = ("team",)
    if isinstance(team, dict):
        if team.get("name"):
            owners.append(_TEAM + team["name"].removeprefix(_TEAM))
        members, location = team.get("members", []), ("team", "members")
    for at, member in enumerate(members):
        if member and "username" in member and "dateOut" not in member:
            owners.append(_owner(checker, member["username"], (*location, at, "username")))
    return tuple(dict.fromkeys(owners))


def _owner(checker: Checker, username: str, location: Location) -> str:
    named = username.startswith(_TEAM) and username != _TEAM
    if not named and not _EMAIL.fullmatch(username):
        what = f"the username {quoted(username)} is neither an email address nor team:NAME"
        checker.document.add(
            location, what, "write the address under which the owner can be reached"
        )
    return username
