"""Health and readiness: every combination of up to three states, and the endpoints."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ModelSettings, Settings
from gateway.http.health import health, health_report, readiness
from gateway.telemetry.status import ModelStatus, ShardStatus

SHOWN = ("m", "n", "big", "bad")

STATES = ("ready", "degraded", "loading", "failed")
FLEETS = [states for size in range(4) for states in product(STATES, repeat=size)]


def shard(state: str, queue: int = 0) -> ShardStatus:
    return ShardStatus(
        name="m/cpu:0",
        pid=None,
        state=state,
        stage="",
        generation=1,
        restarts=0,
        device="cpu",
        dtype="fp32",
        cores=(),
        queue=queue,
        outstanding_tokens=10 * queue,
        documents=0,
        tokens=0,
        documents_per_second=0.0,
        p50_ms=0.0,
        p95_ms=0.0,
        memory_bytes=0,
        last_error="",
        warnings=(),
    )


def model(state: str, *shards: ShardStatus, name: str = "m", queue: int = 0) -> ModelStatus:
    return ModelStatus(
        name=name,
        state=state,
        default=False,
        aliases=(),
        source="fake",
        engine="fake",
        activation="sigmoid",
        demonstration=False,
        max_length=0,
        queue=queue,
        shards=shards,
    )


@pytest.mark.parametrize(("load", "loads"), [("first-use", 1), ("start", 2)])
def test_a_load_on_demand_holds_back_nothing(load: Any, loads: int) -> None:
    lazy = replace(model("loading"), load=load, loads=loads)
    found = [model("ready", name="n"), lazy]
    assert readiness(found, stopping=False, shown=SHOWN).ready
    assert readiness(found, stopping=False, shown=SHOWN, ready_when_idle=False).ready
    assert not readiness([lazy], stopping=False, shown=SHOWN, ready_when_idle=False).ready
    assert health(found) == "ok"
    first = replace(lazy, load="start", loads=1)
    assert not readiness([model("ready"), first], stopping=False, shown=SHOWN).ready


@pytest.mark.parametrize("states", FLEETS, ids="-".join)
def test_every_fleet(states: tuple[str, ...]) -> None:
    models = [model(state) for state in states]
    scores = "ready" in states or "degraded" in states
    verdict = readiness(models, stopping=False, shown=SHOWN)
    assert verdict.ready == (scores and "loading" not in states)
    assert len(verdict.reasons) == states.count("loading") + states.count("failed")
    assert (health(models) in {"ok", "degraded"}) == scores
    assert (health(models) == "ok") == (set(states) == {"ready"})
    assert (health(models) == "loading") == (not scores and "loading" in states)
    assert not readiness(models, stopping=True, shown=SHOWN).ready


def test_reasons_name_the_models() -> None:
    models = [model("ready"), model("loading", name="big"), model("failed", name="bad")]
    assert readiness(models, stopping=False, shown=SHOWN).reasons == (
        "model 'big' is loading",
        "model 'bad' is failed",
    )
    models += [model("loading", name="huge"), model("loading", name="large")]
    assert readiness(models, stopping=False, shown=["big"]).reasons == (
        "model 'big' is loading",
        "1 of the models: failed",
        "2 of the models: loading",
    )


def test_report_counts_queues_and_shards() -> None:
    models = [
        model("degraded", shard("ready", 3), shard("backoff"), queue=2),
        model("ready", shard("ready", 1), name="n"),
    ]
    assert health_report(models, stopping=False, shown=SHOWN) == {
        "status": "degraded",
        "stopping": False,
        "queue": 6,
        "shards": {"total": 3, "ready": 2, "backoff": 1},
        "models": [
            {
                "name": "m",
                "state": "degraded",
                "queue": 5,
                "outstanding_tokens": 30,
                "shards": {"total": 2, "ready": 1, "backoff": 1},
            },
            {
                "name": "n",
                "state": "ready",
                "queue": 1,
                "outstanding_tokens": 10,
                "shards": {"total": 1, "ready": 1},
            },
        ],
    }


def settle(client: TestClient) -> None:
    """Ask every model once, so that each is ready or failed."""
    for name in ("demo", "org/short", "slow", "broken"):
        client.post("/v1/rerank", json={"model": name, "query": "q", "documents": ["a"]})


def test_health_endpoint(client: TestClient) -> None:
    settle(client)
    response = client.get("/health")
    assert response.status_code == 200
    reply = response.json()
    assert reply["status"] == "degraded"  # one model is broken
    assert {model["name"]: model["state"] for model in reply["models"]} == {
        "demo": "ready",
        "org/short": "ready",
        "broken": "failed",
        "slow": "ready",
    }
    assert reply["shards"] == {"total": 4, "ready": 3, "failed": 1}
    assert reply["uptime_seconds"] > 0
    assert reply["unix"] > reply["uptime_seconds"]  # as infinity answers
    assert "error" not in reply


def test_health_of_a_gateway_that_cannot_score_has_the_words_of_tei() -> None:
    broken = ModelSettings(source="fake?refuse=4", engine="fake", devices=("cpu",))
    with TestClient(create_app(Settings(models={"broken": broken}))) as client:
        reply = client.get("/tei/health")
    assert reply.status_code == 503
    found = reply.json()
    assert found["status"] in {"loading", "down"}
    assert (found["error"], found["error_type"]) == ("unhealthy", "Unhealthy")
    assert found["unix"] > 0


def test_readyz_endpoint(client: TestClient) -> None:
    settle(client)
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["reasons"] == ["model 'broken' is failed"]
    for name in ("demo", "rerank-english-v3.0", "org/short"):
        assert client.get("/readyz", params={"model": name}).status_code == 200
    response = client.get("/readyz", params={"model": "broken"})
    assert response.status_code == 503
    assert response.json() == {
        "ready": False,
        "reasons": ["model 'broken' is failed"],
        "models": {"broken": "failed"},
    }
    assert client.get("/readyz", params={"model": "nope"}).status_code == 404
