"""Answers at the deadline with what has a score by then, of a real shard that is slow."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import CascadeSettings, ModelSettings, Settings
from shards.engines.fake import margin
from tests.gateway.http.test_model_access import until_ready

QUERY, TEXTS = "which", [f"text {number}" for number in range(300)]
MARGINS = [margin(QUERY, text) for text in TEXTS]
BATCH_SECONDS = 0.5  # a batch of at most 64 tokens has some 16 of these documents


def fake(source: str, **keys: Any) -> ModelSettings:
    return ModelSettings(source=source, engine="fake", devices=("cpu",), score_cache=False, **keys)


SLOW: dict[str, Any] = {
    "source": f"fake?delay_ms={BATCH_SECONDS * 1000:.0f}", "token_budget": 64, "max_length": 64
}  # fmt: skip
SETTINGS = Settings(
    models={
        "slow": fake(**SLOW),
        "by-default": fake(**SLOW, on_deadline="partial"),
        "first": fake("fake?inverted=1"),
    },
    cascades={"deep": CascadeSettings(first="first", then="slow", keep=200)},
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app(SETTINGS)
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        until_ready(client)
        for model in ("slow", "by-default"):  # the speed is known after an answer
            assert ask(client, model, None, 60_000, documents=TEXTS[:16]).status_code == 200
        yield client


def ask(
    client: TestClient, model: str, choice: str | None, milliseconds: int = 5000, **fields: Any
) -> Any:
    body = {"query": QUERY, "documents": TEXTS, "model": model, "return_details": True, **fields}
    headers = {"x-request-timeout-ms": str(milliseconds)}
    headers |= {"x-on-deadline": choice} if choice else {}
    return client.post("/v1/rerank", json=body, headers=headers)


@pytest.mark.parametrize(("model", "choice"), [("slow", "partial"), ("by-default", None)])
def test_what_has_a_score_is_right_and_the_rest_follows_marked(
    client: TestClient, model: str, choice: str | None
) -> None:
    reply = ask(client, model, choice)
    assert reply.status_code == 200, reply.text
    results = reply.json()["results"]
    scored = [result for result in results if "stage" not in result]
    late = [result for result in results if result.get("stage") == "input-order"]
    assert len(scored) + len(late) == 300
    assert scored
    assert late
    assert results == [*scored, *late]
    assert all(result["margin"] == MARGINS[result["index"]] for result in scored)
    assert sorted(result["index"] for result in scored) == list(range(len(scored)))
    assert [result["index"] for result in late] == list(range(len(scored), 300))
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert max(result["margin"] for result in late) < min(result["margin"] for result in scored)
    assert reply.headers["x-gateway-degraded"] == f"{model}=partial"
    assert reply.headers["x-gateway-warning"].startswith(
        f"degraded: {len(late)} of 300 documents had no score at the deadline"
    )


@pytest.mark.parametrize(("model", "choice"), [("slow", None), ("by-default", "fail")])
def test_without_it_there_is_no_result(client: TestClient, model: str, choice: str | None) -> None:
    reply = ask(client, model, choice)
    assert reply.status_code in {503, 504}  # refused, as it cannot be done in time, or late
    assert "x-gateway-degraded" not in reply.headers


def test_a_cascade_scores_the_best_of_its_first_model_first(client: TestClient) -> None:
    reply = ask(client, "deep", "partial")
    assert reply.status_code == 200, reply.text
    first_order = sorted(range(300), key=MARGINS.__getitem__)
    results = reply.json()["results"]
    scored = [result["index"] for result in results if result["stage"] == "slow"]
    assert 0 < len(scored) < 200
    assert sorted(scored) == sorted(first_order[: len(scored)])
    assert [result["index"] for result in results[len(scored) :]] == first_order[len(scored) :]
    assert reply.headers["x-gateway-degraded"] == "slow=partial"


def test_enough_time_leaves_nothing_to_mark(client: TestClient) -> None:
    reply = ask(client, "slow", "partial", 60_000, documents=TEXTS[:20])
    assert "x-gateway-degraded" not in reply.headers
    assert all("stage" not in result for result in reply.json()["results"])


def test_what_will_be_late_is_no_work_ahead_of_others(client: TestClient) -> None:
    """All documents of the first request take two minutes; those of the second a few seconds."""
    many = [f"late {number}" for number in range(4000)]
    with ThreadPoolExecutor(1) as pool:
        partial = pool.submit(ask, client, "slow", "partial", 6000, documents=many)
        while not client.get("/status").json()["models"][0]["shards"][0]["queue"]:
            assert not partial.done(), partial.result().text
        whole = ask(client, "slow", None, 60_000, documents=TEXTS[:100])
        assert whole.status_code == 200, whole.text
        assert partial.result().headers["x-gateway-degraded"] == "slow=partial"


def test_another_choice_is_refused(client: TestClient) -> None:
    reply = ask(client, "slow", "Partial")
    assert reply.status_code == 400
    assert reply.json()["message"] == "X-On-Deadline must be one of: fail, partial"
