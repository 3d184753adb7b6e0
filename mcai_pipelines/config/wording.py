"""Plain words for messages: what a value is, how it is quoted, what was probably meant."""

import difflib
from collections.abc import Iterable

_LONGEST_QUOTE = 60


def kind_of(value: object) -> str:
    """What a YAML value is, in the words of someone who writes YAML, not Python."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list | tuple) else "a mapping"


def quoted(text: str) -> str:
    """The text in quotes, cut to one short line with control characters escaped."""
    cut = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
    return repr(cut)


def closest(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The choice that looks most like ``word``, ignoring case; None when none does."""
    by_folded = {choice.casefold(): choice for choice in choices}
    folded = word[:_LONGEST_QUOTE].casefold()
    found = difflib.get_close_matches(folded, by_folded, n=1, cutoff=cutoff)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The fix for a word that is not one of the choices.

    Returns:
        ``did you mean X?`` when one choice is close, otherwise the list of choices.
    """
    options = list(choices)
    near = closest(word, options)
    return f"did you mean {near}?" if near else f"use one of {', '.join(options)}"
