"""What a platform is, and what it never shows."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcai_pipelines.config import Catalog, EnvString, Platform, Site, load_platform
from mcai_pipelines.config.jurisdictions import COUNTRIES
from mcai_pipelines.errors import BadInput

ROOT = Path(__file__).parents[2]
GOOD = sorted(Path(__file__).parent.joinpath("good").glob("*.yaml"))
SHIPPED = [ROOT / "platforms" / "local.yaml", ROOT / "platforms" / "cloud.example.yaml"]


def site(**changes: Any) -> dict[str, Any]:
    keys = {
        "provider": "local",
        "region": "hq",
        "jurisdiction": "DE",
        "kind": "private",
        "format": "delta",
        "storage": "/lake/hq",
    }
    return {**keys, **changes}


def test_the_default_platform_has_four_sites() -> None:
    platform = load_platform(SHIPPED[0])
    assert {name: (s.provider, s.format, s.jurisdiction) for name, s in platform.sites.items()} == {
        "aws-us-east-1": ("aws", "iceberg", "US"),
        "azure-westeurope": ("azure", "delta", "EU"),
        "gcp-asia-southeast1": ("gcp", "iceberg", "SG"),
        "private-frankfurt": ("s3", "delta", "DE"),
    }
    assert platform.name == "local"
    assert platform.default_site == "aws-us-east-1"
    assert platform.resolved_namespace({}) == "local"
    assert platform.resolved_namespace({"MCAI_NAMESPACE": "alice"}) == "alice"


def test_a_site_is_found_by_name_and_by_slug() -> None:
    platform = load_platform(SHIPPED[0])
    assert platform.site("azure-westeurope") is platform.site("azure_westeurope")
    assert platform.site("azure_westeurope").slug == "azure_westeurope"
    with pytest.raises(BadInput, match="no site 'azure-westeuropa'; did you mean azure-westeurope"):
        platform.site("azure-westeuropa")


def test_no_is_norway() -> None:
    platform = load_platform(Path(__file__).parent / "good" / "norway.yaml")
    assert platform.sites["oslo"].jurisdiction == "NO"
    assert platform.sites["oslo"].region == "on"
    assert len(COUNTRIES) == 249


def test_one_rest_server_serves_two_sites() -> None:
    platform = load_platform(Path(__file__).parent / "good" / "shared_server.yaml")
    east, west = platform.sites.values()
    assert platform.name == "acme"
    assert east.catalog != west.catalog
    assert east.credentials == west.credentials
    assert isinstance(east.credentials, dict)
    assert east.credentials["access_key_id"] == EnvString("${S3_KEY_ID}")


def test_models_obey_the_rules_without_a_file() -> None:
    assert Site.model_validate({"name": "hq", **site()}).slug == "hq"
    with pytest.raises(ValidationError, match="has the format iceberg but no catalog"):
        Site.model_validate({"name": "hq", **site(format="iceberg")})
    with pytest.raises(ValidationError, match="default_site 'x' is not one of the sites"):
        Platform.model_validate(
            {"name": "p", "namespace": "dev", "default_site": "x", "sites": {"hq": site()}}
        )


def test_models_are_frozen() -> None:
    catalog = Catalog(type="glue")
    with pytest.raises(ValidationError):
        catalog.type = "sql"


def test_a_platform_survives_its_own_dump() -> None:
    for path in (*SHIPPED, *GOOD):
        platform = load_platform(path)
        assert Platform.model_validate(platform.model_dump()) == platform
        assert Platform.model_validate_json(platform.model_dump_json()) == platform


def test_a_namespace_that_cannot_be_one_is_refused_where_it_is_used() -> None:
    platform = load_platform(SHIPPED[0])
    with pytest.raises(
        BadInput, match=r"local\.yaml:\d+: the namespace 'feature/x' is not allowed"
    ):
        platform.resolved_namespace({"MCAI_NAMESPACE": "feature/x"})
    with pytest.raises(BadInput, match="BRANCH is not set"):
        Platform.model_validate(
            {"name": "p", "namespace": "${BRANCH}", "default_site": "hq", "sites": {"hq": site()}}
        ).resolved_namespace({})


@pytest.mark.parametrize("path", [*SHIPPED, *GOOD], ids=lambda path: path.stem)
@given(secret=st.text("abcXYZ0123456789:/@-", min_size=8).map(lambda text: f"S3CR3T{text}"))
def test_a_platform_never_shows_the_value_of_a_variable(path: Path, secret: str) -> None:
    names = re.findall(r"\$\{(\w+)", path.read_text())
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setenv(name, secret)
        platform = load_platform(path)
        shown = [
            repr(platform),
            str(platform),
            repr(platform.model_dump()),
            platform.model_dump_json(),
            repr([*platform.sites.values()]),
            str(platform.state.url),
            str(Platform.model_json_schema()),
        ]
        if names:
            assert secret in platform.namespace.resolve()
    assert not [text for text in shown if "S3CR3T" in text]
