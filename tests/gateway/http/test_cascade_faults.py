"""Cascades over HTTP whose stages refuse, fall back, are late or are replaced meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import CascadeSettings, ModelSettings, Settings, SplitSettings
from gateway.domain.request import Document, RerankRequest
from gateway.http.large_bodies import LARGE_BYTES
from gateway.serving.fallback import Fallbacks
from gateway.serving.reranker import Reranker
from gateway.serving.score_cache.score_cache import ScoreCache
from shards.engines.fake import margin
from tests.gateway.http.test_model_access import until_ready

QUERY, TEXTS = "which comes first", [f"text {number}" for number in range(30)]
MARGINS = [margin(QUERY, text) for text in TEXTS]
BY_FIRST = sorted(range(30), key=MARGINS.__getitem__)  # the first model is inverted
KEEP = 5


def fake(source: str = "fake", **keys: Any) -> ModelSettings:
    return ModelSettings(source=source, engine="fake", devices=("cpu",), score_cache=False, **keys)


def cascade(first: str, then: str, keep: int = KEEP) -> CascadeSettings:
    return CascadeSettings(first=first, then=then, keep=keep)


MODELS = {
    "first": fake("fake?inverted=1"),
    "short": fake(max_length=32),
    "late": fake("fake?delay_ms=8000"),
    "slow-first": fake("fake?inverted=1&delay_ms=300", token_budget=64, max_length=64),
    "spare": fake(),
    "broken": fake("fake?refuse=65", fallback=("spare",)),
    "broken-first": fake("fake?refuse=65", fallback=("first",)),
    "lost": fake("fake?refuse=65", fallback=("input-order",)),
    "replaced": fake(),
}
CASCADES = {
    "to-short": cascade("first", "short"),
    "to-late": cascade("first", "late"),
    "slow": cascade("slow-first", "spare", 3),
    "spared": cascade("broken-first", "broken"),
    "kept": cascade("first", "lost"),
    "to-replaced": cascade("first", "replaced"),
}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    splits = {"halves": SplitSettings(models={"broken": 1, "lost": 0})}
    app = create_app(Settings(models=MODELS, cascades=CASCADES, splits=splits))
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        until_ready(client)
        yield client


def ask(client: TestClient, model: str, milliseconds: int = 60_000, **fields: Any) -> Any:
    body = {"query": QUERY, "documents": TEXTS, "model": model, "return_details": True, **fields}
    headers = {"x-request-timeout-ms": str(milliseconds)}
    if choice := body.pop("on_deadline", None):
        headers["x-on-deadline"] = choice
    return client.post("/v1/rerank", json=body, headers=headers)


def results(reply: Any) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["results"]
    scores = [result["relevance_score"] for result in found]
    assert scores == sorted(set(scores), reverse=True)
    assert [result["margin"] for result in found] == sorted(
        (result["margin"] for result in found), reverse=True
    )
    return found


def low_text(query: str) -> str:
    """Return a text that is too long for the model `short`, and that `first` ranks first."""
    texts = (f"{'word ' * 40}{number}" for number in range(1000))
    return min(texts, key=lambda text: margin(query, text))


@pytest.mark.parametrize("index", [0, 17, 29])
def test_an_error_of_the_second_stage_names_the_place_in_the_request(
    client: TestClient, index: int
) -> None:
    texts = [*TEXTS]
    texts[index] = low_text(QUERY)
    reply = ask(client, "to-short", documents=texts, long_documents="error")
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == f"documents[{index}]"
    assert f"documents[{index}] is too long" in reply.json()["message"]


def test_stages_are_the_models_that_scored(client: TestClient) -> None:
    reply = ask(client, "spared")
    found = results(reply)
    assert [result["index"] for result in found[KEEP:]] == BY_FIRST[KEEP:]
    assert [result["stage"] for result in found] == ["spare"] * KEEP + ["first"] * 25
    warnings = reply.json()["meta"]["warnings"]
    assert warnings[0] == (
        "'spared' is a cascade here: 'first' ordered 30 documents, 'spare' scored the best 5, and "
        "25 results follow in the order of 'first'"
    )
    assert warnings[1].startswith("degraded: 'broken-first': 'first' scored instead")
    assert warnings[2].startswith("degraded: 'broken': 'spare' scored instead")
    assert reply.headers["x-gateway-degraded"] == "broken-first=first, broken=spare"
    described = client.get("/openapi.json").json()["paths"]["/v1/rerank"]["post"]["responses"]
    assert "x-gateway-degraded" in described["200"]["headers"]
    whole = ask(client, "spared", documents=TEXTS[:3])
    assert {result["stage"] for result in results(whole)} == {"spare"}
    assert "'spared' is a cascade here: 'spare' scored all" in whole.headers["x-gateway-warning"]


def test_no_warning_says_that_a_model_scored_whose_fallback_did(client: TestClient) -> None:
    reply = ask(client, "halves")
    assert reply.headers["x-gateway-degraded"] == "broken=spare"
    (warning,) = reply.json()["meta"]["warnings"]
    assert warning.startswith("degraded: 'spare' scored instead")


def test_a_second_stage_in_no_order_of_its_own_leaves_the_scores_of_the_first(
    client: TestClient,
) -> None:
    reply = ask(client, "kept")
    found = results(reply)
    assert [result["index"] for result in found] == BY_FIRST
    assert [result["margin"] for result in found] == [-MARGINS[index] for index in BY_FIRST]
    assert {result["stage"] for result in found} == {"first"}
    assert reply.headers["x-gateway-degraded"] == "lost=input-order"


def test_a_second_stage_that_is_late_leaves_the_scores_of_the_first(client: TestClient) -> None:
    reply = ask(client, "to-late", 4000, on_deadline="partial")
    found = results(reply)
    assert [result["index"] for result in found] == BY_FIRST
    assert [result["margin"] for result in found] == [-MARGINS[index] for index in BY_FIRST]
    assert {result["stage"] for result in found} == {"first"}
    assert reply.headers["x-gateway-degraded"] == "late=partial"
    assert any(
        warning.startswith("degraded: 'late': 5 of 5 documents had no score")
        for warning in reply.json()["meta"]["warnings"]
    )
    refused = ask(client, "to-late", 4000)
    assert (refused.status_code, "x-gateway-degraded" in refused.headers) == (504, False)


def test_a_first_stage_that_is_late_leaves_time_for_the_second(client: TestClient) -> None:
    texts = [f"other {number}" for number in range(600)]
    reply = ask(client, "slow", 8000, documents=texts, on_deadline="partial")
    found = results(reply)
    assert [result["stage"] for result in found[:3]] == ["spare"] * 3
    assert {result["stage"] for result in found[3:]} == {"slow-first", "input-order"}
    assert reply.headers["x-gateway-degraded"] == "slow-first=partial"


def test_a_partial_answer_to_a_large_body_is_an_answer(client: TestClient) -> None:
    texts = [f"{text} {'x' * 100}" for text in TEXTS] + ["y" * LARGE_BYTES]
    reply = ask(client, "to-late", 4000, documents=texts, on_deadline="partial", top_n=30)
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-gateway-degraded"] == "late=partial"


def test_pairs_with_a_query_each_get_no_made_score(client: TestClient) -> None:
    pairs = {"inputs": [["a", "x"], ["b", "y"]]}
    lost = client.post("/models/lost/predict", json=pairs)
    assert (lost.status_code, "x-gateway-degraded" in lost.headers) == (503, False)
    spared = client.post("/models/broken/predict", json=pairs)
    assert (spared.status_code, spared.headers["x-gateway-degraded"]) == (200, "broken=spare")


def test_a_stage_that_a_reload_replaced_meanwhile_is_the_new_one(client: TestClient) -> None:
    state = client.app.state.gateway  # type: ignore[attr-defined] # an ASGI app has any state
    reranker = Reranker(state.shadows, ScoreCache(0, 1.0))
    fallbacks = Fallbacks(state.fleet, reranker, state.metrics)
    request = RerankRequest(queries=(QUERY,), documents=tuple(map(Document, TEXTS)))

    async def order() -> list[int]:
        old = state.fleet.cascade("to-replaced")
        await state.fleet.apply(state.fleet.specs, ("replaced",))
        assert old.then is not state.fleet.model("replaced")

        async def score(request: RerankRequest, **how: Any) -> Any:
            return await fallbacks.rerank(request, request_id="1", **{"deadline": deadline} | how)

        deadline = state.started + 10_000.0
        result = await old.rerank(request, score, deadline=deadline)
        return [scored.index for scored in result.top]

    assert client.portal is not None
    assert sorted(client.portal.call(order)[:KEEP]) == sorted(BY_FIRST[:KEEP])
