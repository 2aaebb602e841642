"""Names that are dealt out, over HTTP: who gets which model, and what is said of it."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ModelSettings, Settings, SplitSettings
from gateway.keys import keys_of
from tests.gateway.guarded import Guarded
from tests.gateway.keys.making import bearer, write_keys


def fake(**keys: Any) -> ModelSettings:
    return ModelSettings(**{"source": "fake", "engine": "fake", "devices": ("cpu",), **keys})


SETTINGS: dict[str, Any] = {
    "models": {"first": fake(aliases=("one",)), "second": fake(max_length=512)},
    "splits": {
        "search": SplitSettings(models={"first": 50, "second": 50}),
        "done": SplitSettings(models={"first": 0, "second": 100}),
    },
}


@pytest.fixture(scope="module")
def split() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(**SETTINGS, default_model="search"))) as client:
        until_ready(client)
        yield client


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    keys: dict[str, dict[str, Any]] = {f"key{number}": {} for number in range(12)}
    keys |= {"first": {"models": ("one",)}, "search": {"models": ("search",)}}
    keys |= {"nobody": {"models": ("gone",)}, "admin": {"admin": True}}
    secrets = write_keys(file, **keys)
    app = create_app(Settings(**SETTINGS, keys_file=file, default_model="search"))
    with TestClient(app) as client:
        until_ready(client)
        yield Guarded(app, client, secrets)


def until_ready(client: TestClient) -> None:
    """Wait for all models: who does not score yet is dealt nothing."""
    end = time.monotonic() + 40
    while (found := client.get("/readyz")).status_code != 200:
        assert time.monotonic() < end, found.text
        time.sleep(0.02)


def ask(client: TestClient, query: str, **fields: Any) -> Any:
    reply = client.post("/v1/rerank", json={"query": query, "documents": ["a", "b"], **fields})
    assert reply.status_code == 200, reply.text
    return reply


def test_queries_are_dealt_out_and_stay_where_they_are(split: TestClient) -> None:
    def models() -> list[str]:
        asked = [ask(split, f"query {number}", model="search") for number in range(40)]
        return [reply.json()["model"] for reply in asked]

    once = models()
    assert min(Counter(once)[name] for name in ("first", "second")) > 8
    assert models() == once


def test_the_reply_says_who_scored(split: TestClient) -> None:
    reply = ask(split, "q", model="done")
    assert reply.json()["model"] == "second"
    assert reply.headers["x-gateway-warning"] == "'done' is a split here: 'second' scored"
    by_default = ask(split, "q")
    scored = by_default.json()["model"]
    assert by_default.headers["x-gateway-warning"] == (
        f"no model was named: the default is the split 'search', and {scored!r} scored"
    )
    assert "x-gateway-warning" not in ask(split, "q", model="first").headers


def test_a_path_can_name_a_split(split: TestClient) -> None:
    reply = split.post("/models/done/v1/rerank", json={"query": "q", "documents": ["a"]})
    assert (reply.status_code, reply.json()["model"]) == (200, "second")


def test_splits_are_listed_and_described(split: TestClient) -> None:
    cards = split.get("/v1/models").json()["data"]
    assert [card["id"] for card in cards] == ["first", "second", "search", "done"]
    assert [card["default"] for card in cards] == [False, False, True, False]
    assert cards[2]["split"] == {"first": 0.5, "second": 0.5}
    assert cards[2]["max_model_len"] == 512
    assert "split" not in cards[0]
    assert split.get("/v1/models/done").json() == cards[3]
    assert split.get("/models/done/info").json()["model_id"] == "first"


def test_readiness_is_that_of_its_models(split: TestClient) -> None:
    ask(split, "q")
    found = split.get("/readyz?model=search")
    assert (found.status_code, list(found.json()["models"])) == (200, ["first", "second"])


def test_status_and_metrics_count_what_was_dealt(split: TestClient) -> None:
    def dealt() -> dict[str, int]:
        (found,) = [one for one in split.get("/status").json()["splits"] if one["name"] == "done"]
        assert [one["share"] for one in found["models"]] == [0.0, 1.0]
        return {one["model"]: one["requests"] for one in found["models"]}

    before = dealt()
    ask(split, "q", model="done")
    assert dealt() == {"first": 0, "second": before["second"] + 1}
    said = split.get("/metrics").text
    line = 'reranker_split_requests_total{model="second",split="done"}'
    assert f"{line} {before['second'] + 1}.0" in said


def test_the_operator_cannot_drain_or_reload_a_split(keyed: Guarded) -> None:
    headers = bearer(keyed.secrets["admin"])
    for path in ("/admin/drain", "/admin/reload"):
        reply = keyed.client.post(f"{path}?model=search", headers=headers)
        assert reply.status_code == 404
        assert (
            "'search' is a split, not a model; name one of its models: first, second" in reply.text
        )


def test_an_unknown_name_is_told_of_splits_too(split: TestClient) -> None:
    reply = split.post("/v1/rerank", json={"query": "q", "documents": ["a"], "model": "x"})
    assert reply.status_code == 404
    assert "first, second, search, done" in reply.json()["message"]


def test_a_key_stays_with_a_model_whatever_it_asks(keyed: Guarded) -> None:
    models = {}
    for number in range(12):
        key = f"key{number}"
        asked = [keyed.rerank(key, model="search", query=f"q{query}") for query in range(5)]
        (models[key],) = {reply.json()["model"] for reply in asked}
    assert set(models.values()) == {"first", "second"}


def test_a_key_is_dealt_to_its_own_models_only(keyed: Guarded) -> None:
    for name in ("search", "done", None):
        assert keyed.rerank("first", model=name).json()["model"] == "first"
    refused = keyed.rerank("first", model="second")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    listed = [card["id"] for card in keyed.get("first", "/v1/models").json()["data"]]
    assert listed == ["first", "search", "done"]
    assert keyed.get("first", "/v1/models/search").json()["split"] == {"first": 0.5}


def test_a_key_for_a_split_is_for_its_models(keyed: Guarded) -> None:
    asked = [keyed.rerank("search", model=name) for name in ("search", "first", "second")]
    assert [reply.status_code for reply in asked] == [200, 200, 200]


def test_a_key_for_none_of_its_models_is_refused(keyed: Guarded) -> None:
    refused = keyed.rerank("nobody", model="search")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert keyed.get("nobody", "/v1/models").json()["data"] == []


def test_a_split_in_the_file_of_keys_is_no_stranger(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, one={"models": ("search", "gone")})
    keys = keys_of(Settings(**SETTINGS, keys_file=file))
    assert keys is not None
    assert [
        line.endswith("is for model 'gone', which is not served") for line in keys.warnings
    ] == [True]
