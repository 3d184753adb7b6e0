"""Text that refers to the environment and never shows it."""

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from mcai_pipelines.config import EnvString, dagster_home, home, project_root
from mcai_pipelines.errors import BadInput


class Address(BaseModel):
    url: EnvString


def test_references_are_expanded_when_resolved() -> None:
    url = EnvString("s3://${BUCKET}/${PREFIX:-lake}")
    assert url.resolve({"BUCKET": "acme"}) == "s3://acme/lake"
    assert url.resolve({"BUCKET": "acme", "PREFIX": "x"}) == "s3://acme/x"
    assert url.variables == ("BUCKET", "PREFIX")


def test_an_empty_variable_counts_as_missing() -> None:
    assert EnvString("${NAME:-default}").resolve({"NAME": ""}) == "default"
    assert EnvString("${NAME}").missing({"NAME": ""}) == ("NAME",)
    assert EnvString("a${NAME:-}b").resolve({}) == "ab"


def test_two_dollars_are_one() -> None:
    assert EnvString("cost: $$5 ${A}").resolve({"A": "$$"}) == "cost: $5 $$"


def test_every_missing_variable_is_named_with_its_place() -> None:
    url = EnvString("${USER_NAME}:${PASS_WORD}@${USER_NAME}", "platforms/x.yaml:7")
    with pytest.raises(BadInput) as caught:
        url.resolve({})
    first, second = caught.value.problems
    assert first.where == "platforms/x.yaml:7"
    assert "USER_NAME is not set" in first.what
    assert "PASS_WORD is not set" in second.what
    with pytest.raises(BadInput, match="environment variable A: the environment variable A is not"):
        EnvString("${A}").resolve({})


@pytest.mark.parametrize("text", ["$HOME", "${", "${}", "${1A}", "${A:-${B}}", "${A-b}", "a$"])
def test_what_a_shell_would_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a \$ must start"):
        EnvString(text)
    with pytest.raises(ValidationError, match=r"a \$ must start"):
        Address(url=text)  # type: ignore[arg-type]


def test_in_a_model_only_the_template_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    address = Address.model_validate({"url": "https://${TOKEN}@host"})
    assert address.url.resolve() == "https://hunter2@host"
    assert str(address.url) == "https://${TOKEN}@host"
    assert address.model_dump() == {"url": "https://${TOKEN}@host"}
    assert json.loads(address.model_dump_json()) == {"url": "https://${TOKEN}@host"}
    assert Address.model_json_schema()["properties"]["url"]["type"] == "string"
    assert Address(url=address.url) == address
    with pytest.raises(ValidationError):
        Address.model_validate({"url": 5})


def test_where_it_was_written_is_not_part_of_what_it_is() -> None:
    assert EnvString("a", "x.yaml:1") == EnvString("a", "y.yaml:2")
    assert len({EnvString("a", "x.yaml:1"), EnvString("a")}) == 1
    assert pickle.loads(pickle.dumps(EnvString("a", "x.yaml:1"))).where == "x.yaml:1"


def test_home_is_always_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    template = EnvString("${MCAI_HOME}/sites/a")
    assert template.missing({}) == ()
    assert template.resolve({}) == f"{home({})}/sites/a"
    assert template.resolve({"MCAI_HOME": "state"}) == f"{tmp_path}/state/sites/a"
    assert dagster_home({"MCAI_HOME": "/srv/mcai"}) == Path("/srv/mcai/dagster")
    assert home({"MCAI_HOME": "~/x"}) == Path.home() / "x"


def test_the_project_is_where_platforms_and_contracts_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkout = Path(__file__).parents[2]
    assert project_root() == checkout  # beside the package
    assert home({}) == checkout / ".mcai"
    (tmp_path / "platforms").mkdir()
    (tmp_path / "contracts").mkdir()
    assert project_root() == tmp_path
    assert home({}) == tmp_path / ".mcai"


def test_without_a_project_the_working_directory_is_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mcai_pipelines.config.places._PACKAGE_PARENT", tmp_path / "site-packages")
    assert project_root() == tmp_path


@given(st.text())
def test_any_text_with_doubled_dollars_resolves_to_itself(text: str) -> None:
    assert EnvString(text.replace("$", "$$")).resolve({}) == text
