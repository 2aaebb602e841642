"""The changes of a new configuration: every pair of small fleets, and settings."""

from itertools import product
from typing import Any

import pytest

from gateway.config import LimitSettings, ModelSettings, ModelSpec, Settings
from gateway.serving.revisions import RELOADED, Changes, changes, without_effect
from shards.wire.spec import ShardSpec

NAMES = ("a", "b", "c")
SOURCES = ("", "fake", "fake?delay_ms=1")  # the first: this model does not exist
FLEETS = [dict(zip(NAMES, sources, strict=True)) for sources in product(SOURCES, repeat=3)]


def spec(
    name: str, source: str, *, aliases: tuple[str, ...] = (), default: bool = False
) -> ModelSpec:
    shard = ShardSpec(name=f"{name}/cpu:0", model=name, source=source)
    return ModelSpec(name=name, aliases=aliases, default=default, source=source, shards=(shard,))


def specs(fleet: dict[str, str]) -> list[ModelSpec]:
    return [spec(name, source) for name, source in fleet.items() if source]


def change_of(old: str, new: str) -> str:
    if old and new:
        return "kept" if old == new else "changed"
    return "added" if new else "removed"


@pytest.mark.parametrize("old", FLEETS, ids=str)
def test_every_pair_of_fleets(old: dict[str, str]) -> None:
    for new in FLEETS:
        found = changes(specs(old), specs(new))
        expected: dict[str, tuple[str, ...]] = {}
        for name in NAMES:
            if old[name] or new[name]:
                key = change_of(old[name], new[name])
                expected[key] = (*expected.get(key, ()), name)
        assert found == Changes(**expected)


def test_a_requested_model_starts_again_even_if_it_looks_the_same() -> None:
    both = [spec("a", "fake"), spec("b", "fake")]
    assert changes(both, both, {"b", "gone"}) == Changes(changed=("b",), kept=("a",))


def test_names_need_no_process() -> None:
    old = [spec("a", "fake", aliases=("x",), default=True), spec("b", "fake")]
    new = [spec("b", "fake", aliases=("x",), default=True), spec("a", "fake")]
    assert changes(old, new) == Changes(kept=("b", "a"))


def test_another_number_of_shards_is_a_change() -> None:
    single = spec("a", "fake")
    double = ModelSpec(name="a", aliases=(), default=False, source="fake", shards=single.shards * 2)
    assert changes([single], [double]) == Changes(changed=("a",))


MODELS = {"m": ModelSettings(source="fake")}


@pytest.mark.parametrize(
    ("new", "keys"),
    [
        ({}, ()),
        ({"models": {"n": ModelSettings(source="fake")}, "offline": True}, ()),
        ({"default_model": "m"}, ()),
        ({"port": 9, "log_level": "debug"}, ("port",)),
        ({"limits": LimitSettings(documents=7, queue_tokens=9)}, ("limits.queue_tokens",)),
    ],
)
def test_keys_that_only_a_restart_brings_into_effect(
    new: dict[str, Any], keys: tuple[str, ...]
) -> None:
    assert without_effect(Settings(models=MODELS), Settings(**{"models": MODELS, **new})) == keys


def test_the_reloaded_keys_are_settings() -> None:
    assert set(Settings.model_fields) >= RELOADED
