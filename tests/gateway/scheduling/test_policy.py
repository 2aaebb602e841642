"""The policy of settings: the room for models on this machine."""

from typing import Any

import pytest

from gateway.config import Settings
from gateway.scheduling.policy import room_of

MIB = 1 << 20


def _machine_mib(usable: int | None, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> int:
    usable_bytes = None if usable is None else usable * MIB
    monkeypatch.setattr("gateway.scheduling.policy.usable_memory", lambda: usable_bytes)
    return room_of(Settings(**settings)).budgets().get("machine", 0) // MIB


def _models(**keys: object) -> dict[str, Any]:
    return {"a": {"source": "embedded", **keys}}


@pytest.mark.parametrize("keys", [{"load": "first-use"}, {"idle_seconds": 5}])
def test_models_that_may_be_unloaded_have_what_there_is_less_a_reserve(
    keys: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _machine_mib(8000, monkeypatch, models=_models(**keys)) == 8000 - 1024
    budget = {"reserve_mb": 3000}
    assert _machine_mib(8000, monkeypatch, models=_models(**keys), memory_budget=budget) == 5000
    assert _machine_mib(1000, monkeypatch, models=_models(**keys)) == 750, "a small machine"
    budget = {"reserve_mb": 9000}
    assert _machine_mib(8000, monkeypatch, models=_models(**keys), memory_budget=budget) == 1
    assert _machine_mib(None, monkeypatch, models=_models(**keys)) == 0


def test_models_that_stay_loaded_have_no_budget_unless_there_is_one_in_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _machine_mib(8000, monkeypatch, models=_models()) == 0
    budget = {"machine_mb": 300}
    assert _machine_mib(8000, monkeypatch, models=_models(), memory_budget=budget) == 300
    budget = {"machine_mb": 0}
    models = _models(load="first-use")
    assert _machine_mib(8000, monkeypatch, models=models, memory_budget=budget) == 0


def test_the_times_of_stays_and_waits_are_configured() -> None:
    times = {"stay_seconds": 1.0, "cool_seconds": 2.0, "patience_seconds": 3.0}
    rules = room_of(Settings(memory_budget=times)).rules
    assert (rules.stay_seconds, rules.cool_seconds, rules.patience_seconds) == (1.0, 2.0, 3.0)
