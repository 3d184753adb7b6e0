"""YAML 1.2 in, plain data and lines out."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mcai_pipelines.config import yaml_source
from mcai_pipelines.config.yaml_source import Document, read_yaml
from mcai_pipelines.errors import BadInput

Read = Callable[[str | bytes], Document]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str | bytes) -> Document:
        path = tmp_path / "file.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path)

    return read


def test_only_true_and_false_are_booleans_and_dates_stay_text(read: Read) -> None:
    document = read(
        "country: NO\nswitch: on\nanswer: yes\nday: 2017-01-02\nclock: 12:30:45\ndigits: 1_000\n"
        "really: true\nnever: FALSE\nnothing: ~\nempty:\nquoted: 'true'\n"
    )
    assert document.data == {
        "country": "NO",
        "switch": "on",
        "answer": "yes",
        "day": "2017-01-02",
        "clock": "12:30:45",
        "digits": "1_000",
        "really": True,
        "never": False,
        "nothing": None,
        "empty": None,
        "quoted": "true",
    }


def test_numbers_follow_the_core_schema(read: Read) -> None:
    document = read("a: 0\nb: 010\nc: 0o17\nd: 0x1F\ne: 1.5e3\nf: -.inf\n")
    assert document.data == {"a": 0, "b": 10, "c": 15, "d": 31, "e": 1500.0, "f": -math.inf}
    assert math.isnan(read("a: .nan\n").data["a"])
    assert read(f"a: {'9' * 5000}\n").data["a"] == "9" * 5000


def test_a_line_for_every_key_and_item(read: Read) -> None:
    document = read(
        "# a comment\nsites:\n  one:\n    region: here\n"
        "  two: {region: there}\nlist:\n  - a\n  - b\n"
    )
    assert document.line(("sites",)) == 2
    assert document.line(("sites", "one", "region")) == 4
    assert document.line(("sites", "two", "region")) == 5
    assert document.line(("list", 1)) == 8


def test_what_is_missing_has_the_line_of_what_should_hold_it(read: Read) -> None:
    document = read("sites:\n  one:\n    region: here\n")
    assert document.line(("sites", "one", "provider")) == 2
    assert document.line(("sites", "one", "region", "deeper")) == 3
    assert document.line(("sites", 7)) == 1


def test_a_number_is_also_known_as_it_was_written(read: Read) -> None:
    document = read("version: 1.10\n")
    assert document.data["version"] == 1.1
    assert document.text(("version",)) == "1.10"


def test_anchors_and_aliases_repeat_values(read: Read) -> None:
    document = read("base: &base {a: 1}\nagain: *base\n")
    assert document.data == {"base": {"a": 1}, "again": {"a": 1}}
    document.data["again"]["a"] = 2
    assert document.data["base"]["a"] == 1


def test_a_byte_order_mark_and_windows_line_ends_are_read(read: Read) -> None:
    document = read(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert document.data == {"a": 1, "b": 2}
    assert document.line(("b",)) == 2


def test_duplicates_are_found_together_with_the_rest(read: Read) -> None:
    document = read("a: 1\na: 2\nb: !tag 3\nc: 1\nc: 2\n")
    with pytest.raises(BadInput) as caught:
        document.findings.raise_any()
    assert [problem.where.rpartition(":")[2] for problem in caught.value.problems] == [
        "2",
        "3",
        "5",
    ]


def test_a_hundred_problems_are_enough(read: Read) -> None:
    with pytest.raises(BadInput) as caught:
        read("a: 1\n" * 5000)
    assert len(caught.value.problems) == 101


def problem_of(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_yaml(path)
    (problem,) = caught.value.problems
    assert problem.where == f"{path}:1"
    return str(problem)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in problem_of(tmp_path / "absent.yaml")
    assert "this is a folder" in problem_of(tmp_path)
    (tmp_path / "file").write_text("a: 1")
    assert "cannot be read" in problem_of(tmp_path / "file" / "below.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "not a regular file" in problem_of(tmp_path / "pipe.yaml")
    assert "cannot be read" in problem_of(tmp_path / ("long" * 100))


def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything
        assert read_yaml(path).data == {"a": 1}
    else:
        assert "cannot be read (Permission denied)" in problem_of(path)


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (yaml_source.MAX_BYTES + 1))
    assert "larger than 1 MiB" in problem_of(path)


def test_too_many_values_are_refused(read: Read) -> None:
    with pytest.raises(BadInput, match="more than 100,000 values"):
        read("a: [" + "1," * 110_000 + "]\n")


def test_paths_below_the_working_directory_are_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "platforms").mkdir()
    (tmp_path / "platforms" / "x.yaml").write_text("a: 1")
    monkeypatch.chdir(tmp_path)
    assert read_yaml(tmp_path / "platforms" / "x.yaml").where(("a",)) == "platforms/x.yaml:1"


SYNTAX = {
    "a:\n\tb: 1\n": (2, "a tab is used"),
    "a:\n  - 1\n\t- 2\n": (3, "a tab is used"),
    "a: b: c\n": (1, "a colon is not expected"),
    "a: - b\n": (1, "a list item is not expected"),
    "a: 'x\n\n\n": (1, "never closed"),
    "a: [1\nb: 2\n": (2, "bracket opened on line 1"),
    "a: {b: ${X}}\n": (1, "inside braces needs quotes"),
    "a: @b\n": (1, "cannot start with this character"),
    'a: "\\q"\n': (1, "unknown backslash escape"),
    "a:\n   b: 1\n  c: 2\n": (3, "does not fit the lines above"),
    "%YAML 3.0\n---\na: 1\n": (1, "%YAML version"),
    "%FOO\na: 1\n": (None, ""),
    "'a'\n'b'\n": (None, ""),
}


@pytest.mark.parametrize("text", SYNTAX)
@pytest.mark.parametrize("loader", [yaml.CSafeLoader, yaml.SafeLoader])
def test_both_parsers_are_understood(
    text: str,
    loader: type,
    read: Read,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(yaml_source, "LOADER", loader)
    line, what = SYNTAX[text]
    with pytest.raises(BadInput) as caught:
        read(text)
    (problem,) = caught.value.problems
    assert what in problem.what
    assert line is None or problem.where.endswith(f":{line}")


# Not what JSON allows and YAML does not, nor the line ends of YAML 1.1 that JSON does not know.
text = st.text(
    st.characters(
        exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff"
    )
)
key = text.filter(lambda name: name != "<<")  # refused on purpose: YAML 1.1's merge key
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(key, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(key, plain, min_size=1, max_size=4))
def test_what_json_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "json.yaml"
    path.write_text(json.dumps(data, ensure_ascii=False))
    document = read_yaml(path)
    document.findings.raise_any()
    assert document.data == data
