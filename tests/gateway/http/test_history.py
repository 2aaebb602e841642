"""`/status?history=`, from a whole gateway."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway.domain.errors import NotFound
from gateway.http.gateway_state import GatewayState
from gateway.http.history import history_of
from gateway.telemetry.history import MOST_NAMES, RANGES, History
from tests.gateway.http.test_health import settle


def history(client: TestClient, **query: str) -> dict[str, Any]:
    reply = client.get("/status", params={"history": "hour", **query})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()["history"]
    return found


def total(found: dict[str, Any], name: str) -> int:
    """Return the sum of a figure; no step of these tests has left the history."""
    return sum(count or 0 for count in found[name])


@pytest.mark.parametrize("length", RANGES)
def test_requests_come_into_the_history(client: TestClient, length: str) -> None:
    settle(client)
    before = history(client, history=length, model="demo")
    before_all = history(client, history=length)
    body = {"model": "demo", "query": "q", "documents": ["a", "b"]}
    for sent in (body, body, {**body, "documents": []}):  # the last one means no model
        client.post("/v1/rerank", json=sent)
    after = history(client, history=length, model="demo")
    after_all = history(client, history=length)
    assert total(after, "requests") - total(before, "requests") == 2
    assert total(after, "documents") - total(before, "documents") == 4
    assert total(after_all, "requests") - total(before_all, "requests") == 3
    assert total(after_all, "failures") - total(before_all, "failures") == 1
    assert any(after["codes"]["200"])
    assert any(after_all["codes"]["400"])
    assert any(after["p95_ms"])
    status = client.get("/status").json()
    assert status["history"] is None
    (figures,) = [each for each in status["figures"]["models"] if each["name"] == "demo"]
    assert total(after, "requests") == figures["requests"]


def test_all_lists_have_one_value_a_step(client: TestClient) -> None:
    settle(client)
    found = history(client)
    lists = [value for value in found.values() if isinstance(value, list) and value]
    lists = [each for each in lists if each is not found["models"]] + [*found["codes"].values()]
    assert {len(each) for each in lists} == {len(found["requests"])}
    assert found["step_seconds"] == 10
    assert 0 <= found["last_seconds"] <= 10
    uptime = client.get("/status").json()["uptime_seconds"]
    assert len(found["requests"]) <= uptime // 10 + 1


def test_jobs_of_a_model_are_looked_at(client: TestClient, app: Starlette) -> None:
    settle(client)
    model = app.state.gateway.fleet.model("demo")
    assert model.jobs == (0, 0)
    assert set(history(client, model="broken")["waiting"]) <= {0, None}
    names = {model["name"] for model in client.get("/status").json()["models"]}
    assert names <= set(history(client)["models"])  # also those without a request


def test_an_alias_means_its_model(client: TestClient) -> None:
    settle(client)
    assert history(client, model="rerank-english-v3.0")["model"] == "demo"
    assert history(client)["model"] is None


@pytest.mark.parametrize(
    ("query", "status", "param", "words"),
    [
        ({"history": "week"}, 400, "history", "'week': send hour (steps of 10 s) or day"),
        ({"history": ""}, 400, "history", "is ''"),
        ({"model": "demo"}, 400, "history", "history is missing"),
        ({"history": "day", "model": "nowhere"}, 404, "model", "nowhere"),
    ],
)
def test_wrong_values_are_refused(
    client: TestClient, query: dict[str, str], status: int, param: str, words: str
) -> None:
    reply = client.get("/status", params=query)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (status, param)
    assert words in error["message"]


def test_a_name_beyond_the_most_has_no_history(app: Starlette) -> None:
    full = SimpleNamespace(history=History(0.0), fleet=app.state.gateway.fleet)
    full.history.look({f"m{place}": (0, 0) for place in range(MOST_NAMES)}, 0.0)
    with pytest.raises(NotFound, match=r"'demo' has no history: .*at most 32 names have one"):
        history_of(cast(GatewayState, full), {"history": "hour", "model": "demo"})
