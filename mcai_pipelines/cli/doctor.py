"""``mcai doctor``: what is in force here, and what is wrong with it. Creates nothing by looking."""

import typer

from mcai_pipelines.cli.output import Json, console, print_json, print_table, say


def doctor(json: Json = False) -> None:
    """Say which platform, instance, storage and catalogs are in force, and what is wrong."""
    from mcai_pipelines.cli.diagnosis import diagnose

    with console(stderr=True).status("looking"):
        found = diagnose()
    if json:
        print_json(
            {
                "ok": not found.problems,
                "facts": found.facts,
                "notes": found.notes,
                "problems": [
                    {"where": p.where, "what": p.what, "fix": p.fix} for p in found.problems
                ],
            }
        )
    else:
        rows = [
            (section if first else "", name, fact)
            for section, facts in found.facts.items()
            for first, (name, fact) in _with_first(facts)
        ]
        print_table(["what", "", "is"], rows)
        for note in found.notes:
            say(f"note: {note}")
    for problem in found.problems:
        say(f"wrong: {problem}")
    if found.problems:
        raise typer.Exit(1)


def _with_first(facts: dict[str, str]) -> list[tuple[bool, tuple[str, str]]]:
    return [(number == 0, fact) for number, fact in enumerate(facts.items())]
