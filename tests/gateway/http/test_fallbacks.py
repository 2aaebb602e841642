"""Fallbacks over HTTP: real shards that refuse, are drained or late, and the marks of replies."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import CascadeSettings, Settings
from shards.engines.fake import margin
from tests.gateway.http.test_model_access import fake, until_ready

QUERY, TEXTS = "which comes first", [f"text {number}" for number in range(12)]
MARGINS = [margin(QUERY, text) for text in TEXTS]
BEST_FIRST = sorted(range(12), key=lambda index: -MARGINS[index])


MODELS = {
    "broken": fake("fake?refuse=65", fallback=("spare",)),
    "lost": fake("fake?refuse=65", fallback=("broken", "input-order")),
    "bare": fake("fake?refuse=65"),
    "drained": fake(fallback=("other",), aliases=("alias",)),
    "late": fake("fake?delay_ms=6000", fallback=("spare",)),
    "late-alone": fake("fake?delay_ms=6000", fallback=("input-order",)),
    "spare": fake(aliases=("other",)),
    "first": fake("fake?inverted=1"),
}
CASCADES = {
    "deep": CascadeSettings(first="first", then="lost", keep=4),
    "deep-spare": CascadeSettings(first="first", then="broken", keep=4),
}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app(Settings(models=MODELS, cascades=CASCADES))
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        until_ready(client)
        assert client.portal is not None
        client.portal.call(app.state.gateway.fleet.drain, "drained")
        yield client


def ask(client: TestClient, model: str, milliseconds: int = 20_000, **fields: Any) -> Any:
    body = {"query": QUERY, "documents": TEXTS, "model": model, **fields}
    headers = {"x-request-timeout-ms": str(milliseconds)}
    return client.post("/v1/rerank", json=body, headers=headers)


def order(reply: Any) -> list[int]:
    assert reply.status_code == 200, reply.text
    return [result["index"] for result in reply.json()["results"]]


@pytest.mark.parametrize(
    ("model", "milliseconds", "reason"),
    [
        ("broken", 20_000, "model_unavailable"),
        ("late", 5000, "deadline_exceeded"),
        ("drained", 20_000, "model_drained"),
    ],
)
def test_another_model_answers_and_the_reply_says_so(
    client: TestClient, model: str, milliseconds: int, reason: str
) -> None:
    reply = ask(client, model, milliseconds)
    assert order(reply) == BEST_FIRST
    assert reply.json()["model"] == "spare"
    assert reply.headers["x-gateway-degraded"] == f"{model}=spare"
    warning = reply.headers["x-gateway-warning"]
    assert warning.startswith(f"degraded: 'spare' scored instead, because of {reason}: ")
    line = f'reranker_fallbacks_total{{fallback="spare",model="{model}"}}'
    assert f"{line} 1.0" in client.get("/metrics").text


@pytest.mark.parametrize(
    ("model", "milliseconds", "degraded"),
    [("lost", 20_000, "lost=input-order"), ("late-alone", 300, "late-alone=input-order")],
)
def test_the_order_of_the_request_is_kept_and_looks_like_no_scores(
    client: TestClient, model: str, milliseconds: int, degraded: str
) -> None:
    reply = ask(client, model, milliseconds, return_details=True)
    assert order(reply) == list(range(12))
    assert reply.headers["x-gateway-degraded"] == degraded
    scores = [result["relevance_score"] for result in reply.json()["results"]]
    assert scores[0] == 0.5
    assert scores == sorted(set(scores), reverse=True)
    assert scores[-1] > 0.49
    assert {result["stage"] for result in reply.json()["results"]} == {"input-order"}
    assert reply.json()["model"] == "input-order"
    assert "degraded: the order of the request is kept" in reply.headers["x-gateway-warning"]


def test_a_model_without_a_fallback_has_none(client: TestClient) -> None:
    reply = ask(client, "bare")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_unavailable")
    assert "x-gateway-degraded" not in reply.headers


def test_a_wrong_request_is_no_reason(client: TestClient) -> None:
    reply = ask(client, "late", top_n=-1)
    assert (reply.status_code, "x-gateway-degraded" in reply.headers) == (400, False)
    too_long = ask(client, "spare", query="word " * 9000)
    assert too_long.status_code == 400
    assert ask(client, "broken", query="word " * 9000).status_code == 503


def test_a_model_that_scores_needs_none(client: TestClient) -> None:
    reply = ask(client, "late", 60_000, documents=TEXTS[:2])
    assert reply.status_code == 200
    assert (reply.json()["model"], "x-gateway-degraded" in reply.headers) == ("late", False)


def test_a_stage_of_a_cascade_has_its_fallbacks(client: TestClient) -> None:
    kept = BEST_FIRST[::-1][:4]  # by the inverted first model
    reply = ask(client, "deep")
    assert order(reply) == [*kept, *BEST_FIRST[::-1][4:]]
    assert reply.headers["x-gateway-degraded"] == "lost=input-order"
    spare = ask(client, "deep-spare")
    assert order(spare)[:4] == kept[::-1]
    assert spare.headers["x-gateway-degraded"] == "broken=spare"
    assert spare.json()["model"] == "deep-spare"
