"""Figures in JSON, from a whole gateway: `/status`, and `/metrics` for a client that reads JSON."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.gateway.http.test_health import settle

JSON = {"accept": "application/json"}


def figures(client: TestClient, name: str) -> dict[str, Any]:
    reply = client.get("/metrics", headers=JSON)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["vary"] == "accept"
    (found,) = [each for each in reply.json()["models"] if each["name"] == name]
    return dict(found)


def test_requests_and_times_of_a_model(client: TestClient) -> None:
    settle(client)
    before = figures(client, "slow")
    for _ in range(3):
        body = {"model": "slow", "query": "q", "documents": ["a", "b"]}
        assert client.post("/v1/rerank", json=body).status_code == 200
    hurried = client.post("/v1/rerank", json=body, headers={"X-Request-Timeout-Ms": "20"})
    assert hurried.status_code in {503, 504}
    after = figures(client, "slow")
    assert after["requests"] - before["requests"] == 4
    assert after["successes"] - before["successes"] == 3
    assert after["failures"] - before["failures"] == 1
    assert after["codes"][str(hurried.status_code)] >= 1
    assert after["recent"] == before["recent"] + 3
    for times in ("wait_ms", "work_ms", "total_ms"):
        assert 0 <= after[times]["p50"] <= after[times]["p95"] <= after[times]["p99"]
    assert after["work_ms"]["p50"] >= 300  # the engine takes as long
    assert after["total_ms"]["p50"] >= after["work_ms"]["p50"]
    assert after["slots"] == 2


def test_a_failed_model_has_no_slots(client: TestClient) -> None:
    settle(client)
    broken = figures(client, "broken")
    assert (broken["slots"], broken["free_slots"]) == (0, 0)
    assert broken["successes"] == 0
    assert broken["total_ms"] == {"p50": None, "p95": None, "p99": None}


def test_the_status_has_the_same_figures(client: TestClient) -> None:
    settle(client)
    found = client.get("/metrics", headers=JSON).json()
    status = client.get("/status").json()["figures"]
    assert status.keys() == found.keys()
    assert status["models"] == found["models"]
    assert found["requests"] == sum(each["requests"] for each in found["models"])
    assert status["cached_scores"] == client.get("/status").json()["score_cache"]["entries"]


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", True),
        ("application/json, text/plain, */*", True),  # axios, where nothing else is said
        ("application/json;q=0.5, text/plain", False),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),  # Prometheus
        (
            "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,"
            "*/*;q=0.1",
            False,
        ),
    ],
)
def test_scrapers_get_what_they_scrape(
    client: TestClient, accept: str | None, is_json: bool
) -> None:
    reply = client.get("/metrics", headers={} if accept is None else {"accept": accept})
    kind = reply.headers["content-type"].partition(";")[0]
    assert (kind == "application/json") == is_json
    assert is_json or "reranker_requests_total" in reply.text
