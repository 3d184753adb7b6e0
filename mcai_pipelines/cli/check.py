"""``mcai check``: what people wrote, checked before anything runs."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcai_pipelines.cli.output import Json, console, print_json, print_table
from mcai_pipelines.errors import BadInput, Problem

if TYPE_CHECKING:
    import dagster as dg

    from mcai_pipelines.config import Platform
    from mcai_pipelines.contracts import Contract

_OF_A_CONTRACT = {"apiVersion", "kind", "id", "schema"}


@dataclass(frozen=True)
class Checked:
    """One thing that is in order."""

    kind: str
    name: str
    summary: str


class Report:
    """What was found, thing by thing.

    Args:
        environment: Whether variables that files refer to have to be set.
    """

    def __init__(self, *, environment: bool) -> None:
        self.environment = environment
        self.checked: list[Checked] = []
        self._problems: dict[Problem, None] = {}  # each once, in the order found

    @property
    def problems(self) -> list[Problem]:
        """Everything wrong, each problem once."""
        return list(self._problems)

    def add(self, checked: Checked | None, problems: "list[Problem] | tuple[Problem, ...]") -> None:
        """Record one thing: in order unless it has problems."""
        self._problems.update(dict.fromkeys(problems))
        if checked is not None and not problems:
            self.checked.append(checked)


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Platform or contract files to check alone."),
    ] = None,
    environment: Annotated[
        bool,
        typer.Option("--env/--no-env", help="Ask whether the variables in the files are set."),
    ] = True,
    json: Json = False,
) -> None:
    """Check the platform in force, every contract and the definitions; or single files."""
    report = Report(environment=environment)
    if paths:
        for path in paths:
            check_file(report, path)
    else:
        with console(stderr=True).status("checking"):
            check_project(report)
    if json:
        print_json(
            {
                "ok": not report.problems,
                "checked": [asdict(checked) for checked in report.checked],
                "problems": [asdict(problem) for problem in report.problems],
            }
        )
    elif report.checked:
        print_table(["checked", "name", ""], [(c.kind, c.name, c.summary) for c in report.checked])
    if report.problems:
        raise BadInput(report.problems)


def check_project(report: Report) -> None:
    """The platform in force in this environment, all contracts, and the definitions."""
    from mcai_pipelines.config import load_platform, platform_file, project_root

    platform: Platform | None = None
    try:
        platform = load_platform(platform_file())
        _check_platform(report, platform)
    except BadInput as error:
        report.add(None, error.problems)
    root = project_root() / "contracts"
    for path in sorted(root.rglob("*.yaml")):
        _check_contract(report, path, root, platform)
    if platform is not None and not report.problems:  # they would only be found again
        _check_definitions(report, platform)


def check_file(report: Report, path: Path) -> None:
    """One platform or contract file, by what it holds."""
    from mcai_pipelines.config import load_platform, project_root
    from mcai_pipelines.config.yaml_source import read_yaml

    root = project_root() / "contracts"
    inside = path.absolute().is_relative_to(root)
    try:
        if inside or _OF_A_CONTRACT & read_yaml(path).data.keys():
            _check_contract(report, path, root if inside else None, None)
        else:
            _check_platform(report, load_platform(path))
    except BadInput as error:
        report.add(None, error.problems)


def _check_platform(report: Report, platform: "Platform") -> None:
    from mcai_pipelines.config import unresolved

    sites = f"{len(platform.sites)} sites, default {platform.default_site}"
    checked = Checked("platform", platform.name, f"{sites}, namespace {platform.namespace}")
    report.add(checked, unresolved(platform) if report.environment else [])


def _check_contract(
    report: Report, path: Path, root: Path | None, platform: "Platform | None"
) -> None:
    from mcai_pipelines.contracts import load_contract

    try:
        contract = load_contract(path, root)
    except BadInput as error:
        report.add(None, error.problems)
        return
    kept = " + ".join(filter(None, (contract.format or "the site's format", contract.mirror)))
    by = f", by {', '.join(contract.partition_by)}" if contract.partition_by else ""
    checked = Checked("contract", contract.id, f"{len(contract.columns)} columns, {kept}{by}")
    report.add(checked, _external_problems(report, contract, platform))


def _external_problems(
    report: Report, contract: "Contract", platform: "Platform | None"
) -> list[Problem]:
    """What is wrong with where an adopted table is said to be."""
    from mcai_pipelines.config.findings import shown_path
    from mcai_pipelines.config.wording import did_you_mean, quoted

    external = contract.external
    if external is None:
        return []
    problems = external.uri.problems() if external.uri and report.environment else []
    if platform is not None and external.site not in platform.sites:
        what = f"the platform {platform.name} has no site {quoted(external.site)}"
        where = shown_path(contract.source)
        problems.append(Problem(where, what, did_you_mean(external.site, platform.sites)))
    return problems


def _check_definitions(report: Report, platform: "Platform") -> None:
    import dagster as dg

    from mcai_pipelines.cli.project import load_definitions

    try:
        defs = load_definitions()
        dg.Definitions.validate_loadable(defs)
    except BadInput as error:
        report.add(None, error.problems)
        return
    except Exception as error:  # whatever a module of the project raises when it is imported
        report.add(None, [_in_code(error)])
        return
    graph = defs.resolve_asset_graph()
    counts = {
        "table": len(graph.materializable_asset_keys),
        "source": len(graph.external_asset_keys),
        "sensor": len(list(defs.sensors or ())),
        "schedule": len(list(defs.schedules or ())),
    }
    words = (f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    checked = Checked("definitions", "mcai_pipelines.definitions", ", ".join(words))
    report.add(checked, _unsupported_columns(defs, platform))


def _unsupported_columns(defs: "dg.Definitions", platform: "Platform") -> list[Problem]:
    """Columns that the format of their table's site cannot hold, where the contract names none."""
    from mcai_pipelines.config import project_root
    from mcai_pipelines.contracts import ContractStore
    from resources.lake import CONTRACT, SITE

    contracts = ContractStore(project_root() / "contracts")
    problems = []
    for spec in defs.resolve_all_asset_specs():
        if CONTRACT in spec.metadata and SITE in spec.metadata:
            contract = contracts.get(str(spec.metadata[CONTRACT]))
            site = platform.sites[str(spec.metadata[SITE])]
            problems += contract.unsupported(contract.format or site.format)
    return problems


def _in_code(error: Exception) -> Problem:
    """An error of Python or Dagster at the line of the project that it came from."""
    from traceback import extract_tb

    from mcai_pipelines.config import project_root
    from mcai_pipelines.config.findings import shown_path

    root = project_root()
    where = "definitions"
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{shown_path(Path(error.filename))}:{error.lineno}"
    else:
        for frame in extract_tb(error.__traceback__):
            path = Path(frame.filename)
            parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
            if parts and parts[0] in ("assets", "sensors", "resources"):
                where = f"{shown_path(path)}:{frame.lineno}"
    said = " ".join(str(error).split()) or "no message"
    return Problem(where, f"{type(error).__name__}: {said}", "MCAI_DEBUG=1 shows the trace")
