"""Which platform is in force, and what it lacks in this environment."""

import subprocess
import sys
from pathlib import Path

import pytest

from mcai_pipelines.config import load_platform, platform_file, unresolved
from mcai_pipelines.errors import BadInput

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "platforms" / "cloud.example.yaml"

CLOUD = {
    "STATE_DB": "postgresql://db/state",
    "DAGSTER_DB": "postgresql://db/dagster",
    "AWS_LAKE_BUCKET": "acme-lake",
    "AZURE_ACCOUNT": "acme",
    "AZURE_CATALOG_DB": "postgresql://db/azure",
    "GCP_LAKE_BUCKET": "acme-asia",
    "GCP_CATALOG_URL": "https://catalog.example.com",
    "GCP_CATALOG_CLIENT": "client:secret",
    "FRANKFURT_S3_URL": "https://s3.example.com",
    "FRANKFURT_S3_KEY_ID": "id",
    "FRANKFURT_S3_SECRET": "secret",
}


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_default_platform_is_local() -> None:
    assert platform_file({}) == ROOT / "platforms" / "local.yaml"
    assert load_platform(env={}).name == "local"


def test_a_platform_is_chosen_by_name_or_by_path(tmp_path: Path) -> None:
    assert platform_file({"MCAI_PLATFORM": "cloud.example"}) == EXAMPLE
    assert platform_file({"MCAI_PLATFORM": "./my.yaml"}) == Path("my.yaml")
    assert platform_file({"MCAI_PLATFORM": f"{tmp_path}/mine"}) == tmp_path / "mine"
    assert load_platform(env={"MCAI_PLATFORM": str(EXAMPLE)}).name == "cloud.example"


def test_an_unknown_platform_lists_those_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"did you mean local\? Otherwise use one of cloud.*local"):
        platform_file({"MCAI_PLATFORM": "locall"})
    with pytest.raises(BadInput, match="MCAI_PLATFORM: there is no platform 'x' in platforms"):
        platform_file({"MCAI_PLATFORM": "x"})
    (tmp_path / "platforms").mkdir()
    (tmp_path / "contracts").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"add platforms/local\.yaml"):
        platform_file({})


def test_the_example_loads_and_lacks_nothing_once_its_variables_are_set() -> None:
    platform = load_platform(EXAMPLE)
    assert unresolved(platform, CLOUD) == []
    assert platform.sites["aws-us-east-1"].storage.resolve(CLOUD) == "s3://acme-lake/lake"


def test_the_default_lacks_nothing() -> None:
    assert unresolved(load_platform(env={}), {}) == []


def test_each_missing_variable_is_listed_by_line() -> None:
    problems = unresolved(load_platform(EXAMPLE), {})
    assert len(problems) == len(CLOUD)
    lines = [int(problem.where.rpartition(":")[2]) for problem in problems]
    assert lines == sorted(lines)
    assert problems[0].where == "platforms/cloud.example.yaml:12"
    assert "STATE_DB is not set" in problems[0].what
    for problem in problems:
        name = problem.what.split()[3]
        assert name in EXAMPLE.read_text().splitlines()[int(problem.where.rpartition(":")[2]) - 1]


def test_what_variables_turn_out_to_hold_obeys_the_same_rules() -> None:
    wrong = {**CLOUD, "STATE_DB": "mysql://db/state", "MCAI_NAMESPACE": "Prod"}
    problems = unresolved(load_platform(EXAMPLE), wrong)
    assert [problem.where for problem in problems] == [
        "platforms/cloud.example.yaml:8",
        "platforms/cloud.example.yaml:12",
    ]
    assert "mysql" not in str(problems[1])


def test_one_missing_variable_does_not_hide_a_wrong_one() -> None:
    wrong = {**CLOUD, "STATE_DB": "", "MCAI_NAMESPACE": "Prod"}
    assert len(unresolved(load_platform(EXAMPLE), wrong)) == 2


def test_config_and_contracts_import_nothing_heavy() -> None:
    code = (
        "import sys, mcai_pipelines.config, mcai_pipelines.contracts\n"
        "heavy = {'dagster', 'polars', 'pyiceberg', 'deltalake', 'pyarrow', 'sqlalchemy'}\n"
        "sys.exit(', '.join(heavy & {*sys.modules}) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
