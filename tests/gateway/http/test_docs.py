"""The examples of docs/api.md: each is run, and its reply has the form that the page shows.

The page's replies come from the embedded model and these from the fake engine, so names, order and
length of lists, types, texts of errors and statuses are compared, but not scores and ids.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway import dialects
from gateway.config import LimitSettings, Settings
from gateway.dialects import RerankBody
from gateway.domain import errors
from gateway.http.routes import READS

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
EXAMPLE = re.compile(r"```bash\ncurl -s (\S+)(.*?)\n```\n\n```json\n(.*?)\n```", re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE)
NOT_OF_FAKES = {"weights"}  # a fake model has no files
OPEN = {
    *("id", "created", "model", "model_name", "aliases", "models", "reasons", "request_id"),
    *("max_model_len", "demonstration"),
}


def test_every_dialect_has_an_example() -> None:
    assert len(EXAMPLES) == PAGE.count("```bash") == PAGE.count("```json")
    shown = {
        dialects.dialect_of(url.removeprefix("http://127.0.0.1:8080"), keys(options)).name
        for url, options, _ in EXAMPLES
    }
    shown_as_jina = {"cohere_v1"}  # it has the same form
    assert {dialect.name for dialect in dialects.DIALECTS} == shown | shown_as_jina


def keys(options: str) -> frozenset[str]:
    """Return the names of the fields that an example sends."""
    body = json.loads(options.partition(" -d '")[2].removesuffix("'") or "{}")
    return frozenset({"pairs"} if isinstance(body, list) else body)


@pytest.mark.parametrize(("url", "options", "reply"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(client: TestClient, url: str, options: str, reply: str) -> None:
    path = url.removeprefix("http://127.0.0.1:8080").replace("embedded", "demo")
    client.post("/v1/rerank", json={"query": "q", "documents": ["a"]})  # loaded by now
    if " -d '" in options:
        sent = options.partition(" -d '")[2].removesuffix("'")
        body = sent.replace("embedded", "demo").encode()
        # Examples repeat each other's texts; the pages show each as the first of its kind.
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        found = client.post(path, content=body, headers=headers)
    else:
        found = client.get(path)
    assert_like(found.json(), json.loads(reply))


def assert_like(found: Any, shown: Any, name: str = "") -> None:
    """Compare names, types and lengths; error texts exactly."""
    if name in OPEN:
        assert type(found) is type(shown), name
    elif isinstance(shown, dict):
        assert list(found) == [key for key in shown if key not in NOT_OF_FAKES]
        for key, value in found.items():
            assert_like(value, shown[key], key)
    elif isinstance(shown, list):
        assert len(found) == len(shown)
        for found_item, shown_item in zip(found, shown, strict=True):
            assert_like(found_item, shown_item)
    elif isinstance(shown, str) and name != "text":
        assert found == shown
    else:
        assert type(found) is type(shown), (name, found, shown)


@pytest.mark.parametrize("path", sorted({*dialects.ALL_PATHS, *READS}))
def test_every_path_is_on_the_page(path: str) -> None:
    path = path.replace(":path", "")
    assert f"`{path}`" in PAGE or f"`POST {path}`" in PAGE or f"`GET {path}`" in PAGE


@pytest.mark.parametrize("field", [*RerankBody.__struct_fields__, *dialects.IGNORED_FIELDS])
def test_every_field_is_on_the_page(field: str) -> None:
    assert f"`{field}`" in PAGE


def test_every_error_code_is_on_the_page() -> None:
    def leaves(kind: type[errors.GatewayError]) -> list[type[errors.GatewayError]]:
        children = kind.__subclasses__()
        return [leaf for child in children for leaf in leaves(child)] or [kind]

    for error in leaves(errors.GatewayError):
        assert f"`{error.code}`" in PAGE
        assert f"| {error.status} |" in PAGE


def test_limits_on_the_page_are_the_defaults() -> None:
    limits = Settings().limits
    for name in LimitSettings.model_fields:
        assert f"| {getattr(limits, name):,} | `limits.{name}` |" in PAGE


def test_every_metric_on_the_page_exists_and_the_other_way_round(client: TestClient) -> None:
    client.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
    helped = set(re.findall(r"^# TYPE (reranker_\w+)", client.get("/metrics").text, re.MULTILINE))
    shown = set(re.findall(r"`(reranker_\w+)`", PAGE))
    assert {name for name in helped if not name.endswith("_created")} == shown
