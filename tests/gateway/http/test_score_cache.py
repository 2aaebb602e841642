"""The score cache over HTTP: its header, what a client and a key may ask of it, and its status."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ModelSettings, Settings
from tests.gateway.http.keys.making import bearer, write_keys
from tests.gateway.http.test_admin_endpoints import operator

BODY: dict[str, Any] = {"query": "q", "documents": ["a", "b c", "a"]}
MODELS = {
    "first": ModelSettings(source="fake", engine="fake"),
    "plain": ModelSettings(source="fake", engine="fake", score_cache=False),
}


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, str]
) -> Iterator[TestClient]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    secrets |= write_keys(file, ordinary={}, apart={"score_cache": False}, admin={"admin": True})
    app = create_app(Settings(models=MODELS, score_cache_mb=1, keys_file=file))
    with TestClient(app) as client:
        yield client


def ask(client: TestClient, secret: str, query: str, **headers: str) -> Any:
    return client.post(
        "/v1/rerank", json={**BODY, "query": query}, headers=bearer(secret) | headers
    )


def test_the_header_counts_documents_by_the_source_of_their_score(
    client: TestClient, secrets: dict[str, str]
) -> None:
    first = ask(client, secrets["ordinary"], "count")
    assert first.headers["x-gateway-cache"] == "hits=1, misses=2, duplicate=1"
    again = ask(client, secrets["ordinary"], "count")
    assert again.headers["x-gateway-cache"] == "hits=3, misses=0, memory=3"
    assert again.json()["results"] == first.json()["results"]
    assert again.json()["usage"]["total_tokens"] == first.json()["usage"]["total_tokens"]


@pytest.mark.parametrize(
    ("asked", "header", "then"),
    [
        ("no-store", None, "hits=1, misses=2, duplicate=1"),
        ("private, No-Store", None, "hits=1, misses=2, duplicate=1"),
        ("no-cache", "hits=1, misses=2, duplicate=1", "hits=3, misses=0, memory=3"),
        ("max-age=0", "hits=1, misses=2, duplicate=1", "hits=3, misses=0, memory=3"),
        ("max-age=60", "hits=1, misses=2, duplicate=1", "hits=3, misses=0, memory=3"),
    ],
)
def test_a_client_may_refuse_kept_scores(
    client: TestClient, secrets: dict[str, str], asked: str, header: str | None, then: str
) -> None:
    reply = ask(client, secrets["ordinary"], asked, **{"Cache-Control": asked})
    assert reply.headers.get("x-gateway-cache") == header
    assert ask(client, secrets["ordinary"], asked).headers["x-gateway-cache"] == then


def test_a_key_may_be_kept_apart(client: TestClient, secrets: dict[str, str]) -> None:
    for _ in range(2):
        assert "x-gateway-cache" not in ask(client, secrets["apart"], "apart").headers
    assert "misses=2" in ask(client, secrets["ordinary"], "apart").headers["x-gateway-cache"]


def test_details_have_the_source(client: TestClient, secrets: dict[str, str]) -> None:
    body = {**BODY, "query": "details", "documents": ["a", "a"], "return_details": True}
    for sources in (["-", "duplicate"], ["memory", "memory"]):
        reply = client.post("/v1/rerank", json=body, headers=bearer(secrets["ordinary"]))
        results = sorted(reply.json()["results"], key=lambda result: result["index"])
        assert [result.get("source", "-") for result in results] == sources


def test_a_model_may_do_without(client: TestClient, secrets: dict[str, str]) -> None:
    for _ in range(2):
        body = {**BODY, "model": "plain"}
        reply = client.post("/v1/rerank", json=body, headers=bearer(secrets["ordinary"]))
        assert "x-gateway-cache" not in reply.headers


def test_status_metrics_and_the_way_to_empty_it(
    client: TestClient, secrets: dict[str, str]
) -> None:
    admin = bearer(secrets["admin"])
    ask(client, secrets["ordinary"], "status")
    status = client.get("/status", headers=admin).json()["score_cache"]
    assert status["entries"] > 0
    assert 0 < status["bytes"] <= status["max_bytes"] == 1024**2
    (model,) = status["models"]
    assert model["model"] == "first"
    assert model["computed"] > 0
    metrics = client.get("/metrics", headers=admin).text
    assert 'reranker_score_cache_documents_total{model="first",source="computed"}' in metrics
    assert f"reranker_score_cache_entries {float(status['entries'])}" in metrics

    path = "/admin/cache/clear"
    assert client.post(path, headers=bearer(secrets["ordinary"])).status_code == 403
    assert client.post(path + "?model=nope", headers=admin).status_code == 404
    assert client.post(path + "?model=first", headers=admin).status_code == 200
    assert "misses=2" in ask(client, secrets["ordinary"], "status").headers["x-gateway-cache"]
    assert client.post(path, headers=admin).json()["entries"] == 0


def test_it_is_off_unless_it_has_room() -> None:
    app = create_app(Settings(models=MODELS, score_cache_mb=0))
    with TestClient(app) as client:
        for _ in range(2):
            assert "x-gateway-cache" not in client.post("/v1/rerank", json=BODY).headers
        assert operator(app).get("/status").json()["score_cache"]["max_bytes"] == 0
