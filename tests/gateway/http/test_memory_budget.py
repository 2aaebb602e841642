"""A memory budget over HTTP: refusals at the start, waits, status, metrics, and idle models behind
cascades and fallbacks, alone and where one model fits at a time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import CascadeSettings, ConfigError, ModelSettings, Settings
from shards.engines.fake import margin
from tests.gateway.http.test_model_access import fake

QUERY, TEXTS = "which comes first", [f"text {number}" for number in range(12)]
MARGINS = [margin(QUERY, text) for text in TEXTS]
BEST_FIRST = sorted(range(12), key=lambda index: -MARGINS[index])
HASTY = {"stay_seconds": 0.0, "cool_seconds": 0.0, "patience_seconds": 0.0}
BUDGETS: list[dict[str, Any]] = [{"machine_mb": 0}, {"machine_mb": 150, **HASTY}]
"""Room for all models, and for one at a time."""


def holder(source: str = "fake?memory_mb=60", **keys: Any) -> ModelSettings:
    return fake(source, load="first-use", score_cache=False, memory_mb=110, **keys)


@contextmanager
def serving(budget: dict[str, Any], **settings: Any) -> Iterator[TestClient]:
    app = create_app(Settings(memory_budget=budget, **settings))
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        yield client


def ask(client: TestClient, model: str, milliseconds: int = 120_000) -> Any:
    body = {"query": QUERY, "documents": TEXTS, "model": model}
    headers = {"x-request-timeout-ms": str(milliseconds)}
    return client.post("/v1/rerank", json=body, headers=headers)


def order(reply: Any) -> list[int]:
    assert reply.status_code == 200, reply.text
    return [result["index"] for result in reply.json()["results"]]


def models(client: TestClient) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in client.get("/status").json()["models"]}


def operate(client: TestClient, action: Callable[..., object], *values: str) -> None:
    """Do in the gateway what its operator would ask for."""
    assert client.portal is not None
    client.portal.call(action, *values)


def until_idle(client: TestClient, name: str) -> None:
    end = time.monotonic() + 120
    while any(shard["pid"] for shard in models(client)[name]["shards"]):
        assert time.monotonic() < end, models(client)[name]
        time.sleep(0.02)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("loaded", [(), ("small",), ("large",)])
def test_a_cascade_loads_the_stages_that_are_idle(
    budget: dict[str, Any], loaded: tuple[str, ...]
) -> None:
    cascades = {"deep": CascadeSettings(first="small", then="large", keep=5)}
    small = holder("fake?memory_mb=60&inverted=1")
    with serving(budget, models={"small": small, "large": holder()}, cascades=cascades) as client:
        for name in loaded:
            ask(client, name)
        found = order(ask(client, "deep"))
        kept = BEST_FIRST[::-1][:5]  # the first model prefers the lowest margins
        assert found[:5] == sorted(kept, key=lambda index: -MARGINS[index])
        assert found[5:] == BEST_FIRST[::-1][5:]


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_fallback_that_is_idle_is_loaded_when_it_has_to_score(budget: dict[str, Any]) -> None:
    broken = fake("fake?refuse=65", load="first-use", fallback=("spare",), memory_mb=110)
    with serving(budget, models={"broken": broken, "spare": holder()}) as client:
        reply = ask(client, "broken")
        assert order(reply) == BEST_FIRST
        assert reply.headers["x-gateway-degraded"] == "broken=spare"
        assert models(client)["spare"]["loads"] == 1


def test_a_fallback_answers_while_a_cold_model_takes_longer_than_the_request_may_wait() -> None:
    cold = holder("fake?memory_mb=60&load_ms=3000", fallback=("spare",))
    with serving(BUDGETS[0], models={"cold": cold, "spare": holder()}) as client:
        assert order(ask(client, "cold")) == order(ask(client, "spare"))
        operate(client, client.app.state.gateway.fleet.unload, "cold")  # type: ignore[attr-defined]
        until_idle(client, "cold")
        reply = ask(client, "cold", 2500)
        assert order(reply) == BEST_FIRST
        assert reply.headers["x-gateway-degraded"] == "cold=spare"
        assert models(client)["cold"]["loads"] == 2, "the refused request has begun the load"


def test_a_fallback_answers_while_a_model_waits_for_room() -> None:
    kept = holder(fallback=("in-use",))
    budget = {"machine_mb": 150, "stay_seconds": 1000.0}
    with serving(budget, models={"in-use": holder(), "kept": kept}) as client:
        ask(client, "in-use")
        assert ask(client, "kept").headers["x-gateway-degraded"] == "kept=in-use"


def test_a_request_that_cannot_wait_has_the_figures_and_status_and_metrics_show_the_holders() -> (
    None
):
    budget = {"machine_mb": 150, "stay_seconds": 1000.0}
    with serving(budget, models={"a": holder(), "b": holder()}) as client:
        ask(client, "a")
        refused = ask(client, "b", 5000)
        assert refused.status_code == 503
        assert 900 <= int(refused.headers["retry-after"]) <= 1000
        message = refused.json()["error"]["message"]
        assert "of the machine's 150 MiB for all models (memory_budget), held by 1 other" in message
        status = client.get("/status").json()
        (pool,) = status["memory"]
        assert (pool["pool"], pool["budget_bytes"]) == ("machine", 150 << 20)
        assert 60 << 20 <= pool["held_bytes"] <= 150 << 20
        phases = {holder["model"]: holder["phase"] for holder in pool["holders"]}
        assert phases == {"a": "loaded", "b": "waiting"}
        assert models(client)["b"]["waits_for_room"].endswith("held by: a")
        metrics = client.get("/metrics").text
        assert f'reranker_memory_budget_bytes{{pool="machine"}} {150 << 20:.6e}' in metrics
        assert 'reranker_model_room_waits_total{model="b"} 1.0' in metrics


def test_evictions_are_counted_by_reason() -> None:
    with serving(BUDGETS[1], models={"a": holder(), "b": holder()}) as client:
        for name in "ab":
            assert order(ask(client, name)) == BEST_FIRST
        line = 'reranker_model_evictions_total{model="a",reason="room"} 1.0'
        assert line in client.get("/metrics").text


def test_a_gateway_whose_models_can_never_fit_does_not_start() -> None:
    large = holder().model_copy(update={"memory_mb": 200})
    settings = Settings(
        memory_budget={"machine_mb": 150},
        models={"a": holder(), "large": large},
    )
    with pytest.raises(ConfigError, match=r"takes at least 200 MiB, and the machine has 150 MiB"):
        create_app(settings)


def test_a_reload_with_a_model_that_can_never_fit_is_refused_with_the_figures() -> None:
    budget: Any = {"machine_mb": 150}
    first = Settings(memory_budget=budget, models={"a": holder()})
    large = holder().model_copy(update={"memory_mb": 200})
    second = Settings(memory_budget=budget, models={"a": holder(), "large": large})
    app = create_app(first, lambda: second)
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        operate(client, app.state.gateway.reloads.ask)
        end = time.monotonic() + 60
        while not (last := client.get("/status").json()["reload"]["last"]):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert not last["ok"]
        assert "models.large: it takes at least 200 MiB" in last["errors"][0]
        assert set(models(client)) == {"a"}
