"""Splits over HTTP: the model of each request, and the warning about it."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from gateway.app import create_app
from gateway.config import ModelSettings, Settings, SplitSettings
from gateway.http.keys import keys_of
from tests.gateway.http.guarded import Guarded
from tests.gateway.http.keys.making import bearer, write_keys


def fake(source: str = "fake", **keys: Any) -> ModelSettings:
    return ModelSettings(source=source, engine="fake", devices=("cpu",), **keys)


SETTINGS: dict[str, Any] = {
    "models": {"first": fake(aliases=("one",)), "second": fake(max_length=512)},
    "splits": {
        "search": SplitSettings(models={"first": 50, "second": 50}),
        "done": SplitSettings(models={"first": 0, "second": 100}),
    },
}


@pytest.fixture(scope="module")
def split() -> Iterator[TestClient]:
    app = create_app(Settings(**SETTINGS, default_model="search"))
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        until_ready(client)
        yield client


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    keys: dict[str, dict[str, Any]] = {f"key{number}": {} for number in range(12)}
    keys |= {"first": {"models": ("one",)}, "search": {"models": ("search",)}}
    keys |= {"useless": {"models": ("gone",)}, "admin": {"admin": True}}
    secrets = write_keys(file, **keys)
    app = create_app(Settings(**SETTINGS, keys_file=file, default_model="search"))
    with TestClient(app) as client:
        until_ready(client)
        yield Guarded(app, client, secrets)


def until_ready(client: TestClient, path: str = "/readyz") -> None:
    """Wait for all models: a split passes over a model that cannot score yet."""
    end = time.monotonic() + 120
    while (found := client.get(path)).status_code != 200:
        assert time.monotonic() < end, found.text
        time.sleep(0.02)


def ask(client: TestClient, query: str, **fields: Any) -> Any:
    reply = client.post("/v1/rerank", json={"query": query, "documents": ["a", "b"], **fields})
    assert reply.status_code == 200, reply.text
    return reply


def test_queries_are_split_and_keep_their_model(split: TestClient) -> None:
    def models() -> list[str]:
        asked = [ask(split, f"query {number}", model="search") for number in range(40)]
        return [reply.json()["model"] for reply in asked]

    once = models()
    assert min(Counter(once)[name] for name in ("first", "second")) > 8
    assert models() == once


def test_a_warning_names_the_model_that_scored(split: TestClient) -> None:
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


def test_status_and_metrics_count_the_requests_of_a_split(split: TestClient) -> None:
    def dealt() -> dict[str, int]:
        splits = split.get("/status").json()["splits"]
        (found,) = [status for status in splits if status["name"] == "done"]
        assert [member["share"] for member in found["models"]] == [0.0, 1.0]
        return {member["model"]: member["requests"] for member in found["models"]}

    before = dealt()
    ask(split, "q", model="done")
    assert dealt() == {"first": 0, "second": before["second"] + 1}
    metrics = split.get("/metrics").text
    line = 'reranker_split_requests_total{model="second",split="done"}'
    assert f"{line} {before['second'] + 1}.0" in metrics


def test_the_operator_cannot_drain_or_reload_a_split(keyed: Guarded) -> None:
    headers = bearer(keyed.secrets["admin"])
    for path in ("/admin/drain", "/admin/reload"):
        reply = keyed.client.post(f"{path}?model=search", headers=headers)
        assert reply.status_code == 404
        assert (
            "'search' is a split, not a model; name one of its models: first, second" in reply.text
        )


def test_the_error_of_an_unknown_name_lists_splits_too(split: TestClient) -> None:
    reply = split.post("/v1/rerank", json={"query": "q", "documents": ["a"], "model": "x"})
    assert reply.status_code == 404
    assert "first, second, search, done" in reply.json()["message"]


def test_a_key_keeps_its_model_for_every_query(keyed: Guarded) -> None:
    models = {}
    for number in range(12):
        key = f"key{number}"
        asked = [keyed.rerank(key, model="search", query=f"q{query}") for query in range(5)]
        (models[key],) = {reply.json()["model"] for reply in asked}
    assert set(models.values()) == {"first", "second"}


def test_a_split_uses_only_the_models_of_the_key(keyed: Guarded) -> None:
    for name in ("search", "done", None):
        assert keyed.rerank("first", model=name).json()["model"] == "first"
    refused = keyed.rerank("first", model="second")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    listed = [card["id"] for card in keyed.get("first", "/v1/models").json()["data"]]
    assert listed == ["first", "search", "done"]
    assert keyed.get("first", "/v1/models/search").json()["split"] == {"first": 0.5}


def test_a_key_for_a_split_may_use_its_models(keyed: Guarded) -> None:
    asked = [keyed.rerank("search", model=name) for name in ("search", "first", "second")]
    assert [reply.status_code for reply in asked] == [200, 200, 200]


def test_a_key_for_no_model_of_a_split_is_refused(keyed: Guarded) -> None:
    refused = keyed.rerank("useless", model="search")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert keyed.get("useless", "/v1/models").json()["data"] == []


@pytest.mark.parametrize("path", ["/models/second/rerank", "/models/done/rerank", "/rerank"])
async def test_a_model_that_a_reload_removes_before_the_body_is_read_is_unknown(path: str) -> None:
    app = create_app(Settings(**SETTINGS))
    fleet = app.state.gateway.fleet
    sent: list[Message] = []

    async def receive() -> Message:
        """Return the body, after a reload that leaves the first model only."""
        await fleet.apply([spec for spec in fleet.specs if spec.name == "first"], splits=())
        body = b'{"query": "q", "documents": ["a"], "model": "second"}'
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    await app(scope, receive, send)
    assert sent[0]["status"] == 404
    assert b"is not served here; use one of: first" in sent[1]["body"]


def test_a_split_in_the_file_of_keys_is_known(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, one={"models": ("search", "gone")})
    keys = keys_of(Settings(**SETTINGS, keys_file=file))
    assert keys is not None
    assert [
        line.endswith("is for model 'gone', which is not served") for line in keys.warnings
    ] == [True]


# -- names like those of a model -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/rerank", "/models/my/FIRST/v1/rerank"])
def test_a_name_in_another_case_or_of_another_owner(split: TestClient, path: str) -> None:
    body = {"query": "q", "documents": ["a", "b"], "model": "my/FIRST"}
    reply = split.post(path, json=body).json()
    assert reply["model"] == "first"
    assert "'my/FIRST' is an alias here: 'first' scored" in reply["meta"]["warnings"]
    assert split.get("/v1/models/First").json()["id"] == "first"
    assert ask(split, "q", model="DONE").json()["model"] == "second"
    assert split.get("/readyz?model=FIRST").status_code == 404


def test_a_key_means_its_own_models_only(keyed: Guarded) -> None:
    assert keyed.rerank("first", model="FIRST").json()["model"] == "first"
    refused = keyed.rerank("first", model="SECOND")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert "second" not in refused.json()["message"]


def test_any_name_means_the_default_if_that_is_set() -> None:
    settings = Settings(models=SETTINGS["models"], accept_any_model=True, default_model="second")
    with TestClient(create_app(settings)) as client:
        until_ready(client)
        for name in ("rerank-english-v2.0", "jina-reranker-v2-base-multilingual", "x\r\ny"):
            reply = ask(client, "q", model=name)
            assert reply.json()["model"] == "second"
            (warning,) = reply.json()["meta"]["warnings"]
            assert warning == (
                f"model {name!r} is not served here: the default, 'second', scored "
                "(accept_any_model)"
            )
            assert warning in reply.headers["x-gateway-warning"]
        assert ask(client, "q", model="one").json()["model"] == "first"
        assert client.get("/v1/models/gpt").json()["id"] == "second"
        assert client.get("/readyz?model=gpt").status_code == 404


def test_any_name_means_the_default_of_a_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    secrets = write_keys(file, first={"models": ("one",)}, useless={"models": ("gone",)})
    app = create_app(Settings(**SETTINGS, keys_file=file, accept_any_model=True))
    with TestClient(app) as client:
        until_ready(client)
        reply = Guarded(app, client, secrets).rerank("first", model="rerank-v3.5")
        assert reply.json()["model"] == "first"
        assert Guarded(app, client, secrets).rerank("useless", model="x").status_code == 403
        assert Guarded(app, client, secrets).rerank("first", model="second").status_code == 403
