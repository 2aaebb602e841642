"""Cascades over HTTP: two real shards, the second of which ranks the other way round."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import CascadeSettings, Settings
from shards.engines.fake import margin
from tests.gateway.http.guarded import Guarded
from tests.gateway.http.keys.making import bearer, write_keys
from tests.gateway.http.test_model_access import fake, until_ready

QUERY = "which comes first"
TEXTS = [f"text {number}" for number in range(30)]
BY_MARGIN = sorted(range(30), key=lambda index: margin(QUERY, TEXTS[index]))  # lowest first
KEEP = 5


SETTINGS: dict[str, Any] = {
    "models": {"small": fake("fake?inverted=1"), "large": fake()},
    "cascades": {"deep": CascadeSettings(first="small", then="large", keep=KEEP)},
}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app(Settings(**SETTINGS, default_model="deep"))
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        until_ready(client)
        yield client


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    keys: dict[str, dict[str, Any]] = {"deep": {"models": ("deep",)}, "admin": {"admin": True}}
    keys["small"] = {"models": ("small",)}
    secrets = write_keys(file, **keys)
    app = create_app(Settings(**SETTINGS, keys_file=file))
    with TestClient(app) as client:
        until_ready(client)
        yield Guarded(app, client, secrets)


def ask(client: TestClient, path: str = "/v1/rerank", **fields: Any) -> Any:
    body = {"query": QUERY, "documents": TEXTS, "model": "deep", **fields}
    reply = client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    return reply


def test_the_second_model_orders_the_best_of_the_first(client: TestClient) -> None:
    reply = ask(client, return_details=True)
    found = reply.json()
    assert found["model"] == "deep"
    kept = BY_MARGIN[:KEEP]  # the first model prefers the lowest margins
    order = [result["index"] for result in found["results"]]
    assert order == [*reversed(kept), *BY_MARGIN[KEEP:]]
    assert [result["stage"] for result in found["results"]] == ["large"] * KEEP + ["small"] * 25
    scores = [result["relevance_score"] for result in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 30
    assert [result["margin"] for result in found["results"][:KEEP]] == [
        margin(QUERY, TEXTS[index]) for index in order[:KEEP]
    ]
    assert (
        "'small' ordered 30 documents, 'large' scored the best 5, and 25 results follow"
        in (reply.headers["x-gateway-warning"])
    )


def test_each_stage_computes_only_its_documents(client: TestClient) -> None:
    reply = ask(client, query="new words", top_n=3)
    assert reply.headers["x-gateway-cache"] == "hits=0, misses=35"
    assert "follow" not in reply.headers["x-gateway-warning"]
    assert ask(client, query="new words").headers["x-gateway-cache"] == (
        "hits=35, misses=0, memory=35"
    )


def test_few_documents_need_one_stage(client: TestClient) -> None:
    reply = ask(client, documents=TEXTS[:KEEP], return_details=True)
    assert reply.json()["model"] == "deep"
    assert {result["stage"] for result in reply.json()["results"]} == {"large"}
    assert reply.headers["x-gateway-warning"] == (
        "'deep' is a cascade here: 'large' scored all documents"
    )


def test_pairs_with_a_query_each_are_scored_by_the_second_model(client: TestClient) -> None:
    pairs = [["a", text] for text in TEXTS[:15]] + [["b", text] for text in TEXTS[15:]]
    reply = client.post("/predict", json={"inputs": pairs, "raw_scores": True, "model": "deep"})
    assert reply.status_code == 200, reply.text
    queries = ["a"] * 15 + ["b"] * 15
    expected = [margin(query, text) for query, text in zip(queries, TEXTS, strict=True)]
    assert [found[0]["score"] for found in reply.json()] == expected


def test_it_can_be_the_default_and_be_named_by_a_path(client: TestClient) -> None:
    by_default = client.post("/v1/rerank", json={"query": QUERY, "documents": TEXTS})
    assert by_default.json()["model"] == "deep"
    assert by_default.headers["x-gateway-warning"].startswith(
        "no model was named: the default is the cascade 'deep'; 'deep' is a cascade here"
    )
    by_path = client.post("/models/deep/v1/rerank", json={"query": QUERY, "documents": TEXTS})
    assert by_path.json()["results"] == by_default.json()["results"]


def test_it_is_listed_described_and_counted(client: TestClient) -> None:
    cards = client.get("/v1/models").json()["data"]
    assert [card["id"] for card in cards] == ["small", "large", "deep"]
    assert cards[2]["cascade"] == ["small", "large"]
    assert (cards[2]["state"], cards[2]["default"]) == ("ready", True)
    assert client.get("/v1/models/deep").json() == cards[2]
    assert list(client.get("/readyz?model=deep").json()["models"]) == ["small", "large"]

    def counted() -> list[int]:
        (found,) = client.get("/status").json()["cascades"]
        assert (found["first"], found["then"], found["keep"]) == ("small", "large", KEEP)
        return [found["first_documents"], found["then_documents"]]

    before = counted()
    ask(client)
    assert counted() == [before[0] + 25, before[1] + 5]
    metrics = client.get("/metrics").text
    line = 'reranker_cascade_documents_total{cascade="deep",model="small"}'
    assert f"{line} {before[0] + 25}.0" in metrics
    assert 'reranker_requests_total{code="200",dialect="jina",model="deep"}' in metrics


def test_a_stage_that_is_out_of_service_refuses_before_the_body_is_read(
    keyed: Guarded,
) -> None:
    headers = bearer(keyed.secrets["deep"])
    body = {"query": QUERY, "documents": TEXTS, "model": "deep"}
    admin = bearer(keyed.secrets["admin"])
    assert keyed.client.post("/v1/rerank", json=body, headers=headers).status_code == 200
    assert keyed.client.post("/admin/drain?model=small", headers=admin).status_code == 202
    refused = keyed.client.post("/models/deep/v1/rerank", json=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_drained")
    found = keyed.client.get("/readyz?model=deep", headers=admin)
    assert found.status_code == 503
    assert keyed.client.post("/admin/reload?model=small", headers=admin).status_code == 202
    until_ready(keyed.client, "/readyz?model=deep")
    assert keyed.client.post("/v1/rerank", json=body, headers=headers).status_code == 200


def test_a_key_needs_both_models(keyed: Guarded, tmp_path: Path) -> None:
    one = bearer(keyed.secrets["small"])
    body = {"query": QUERY, "documents": TEXTS, "model": "deep"}
    refused = keyed.client.post("/v1/rerank", json=body, headers=one)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    cards = keyed.client.get("/v1/models", headers=one).json()["data"]
    assert [card["id"] for card in cards] == ["small"]
    both = keyed.client.get("/v1/models", headers=bearer(keyed.secrets["deep"])).json()["data"]
    assert [card["id"] for card in both] == ["small", "large", "deep"]


def test_the_operator_names_one_of_its_models(keyed: Guarded) -> None:
    for path in ("/admin/drain", "/admin/reload"):
        reply = keyed.client.post(f"{path}?model=deep", headers=bearer(keyed.secrets["admin"]))
        assert reply.status_code == 404
        assert (
            "'deep' is a cascade, not a model; name one of its models: small, large"
            in (reply.json()["message"])
        )
