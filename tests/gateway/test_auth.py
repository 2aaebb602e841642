"""Keys over HTTP: who passes where, with which answer, and what is counted and told."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ConfigError, ModelSettings, Settings
from gateway.dialects import PATHS
from gateway.endpoints import READS, Need
from tests.gateway.keys.making import FUTURE, PAST, bearer, write_keys

KEYS: dict[str, dict[str, Any]] = {
    "good": {"expires": FUTURE},
    "admin": {"admin": True},
    "expired": {"expires": PAST},
    "revoked": {"revoked": PAST, "expires": PAST},
    "narrow": {"models": ("second", "nowhere")},
    "alias": {"models": ("rerank-english-v3.0",)},
    "lost": {"models": ("nowhere",)},
    "slow": {"requests_per_minute": 2},
    "single": {"concurrency": 1},
}
BODY = {"query": "q", "documents": ["a", "b c"]}


@dataclass
class Guarded:
    """A gateway with keys, a client of it, and the keys themselves by id."""

    app: Starlette
    client: TestClient
    secrets: dict[str, str]

    def rerank(self, key: str, path: str = "/v1/rerank", **fields: Any) -> Any:
        headers = bearer(self.secrets[key])
        return self.client.post(path, json={**BODY, **fields}, headers=headers)

    def get(self, key: str, path: str) -> Any:
        return self.client.get(path, headers=bearer(self.secrets[key]))

    def metric(self, name: str, **labels: str) -> float:
        return self.app.state.api.metrics.registry.get_sample_value(name, labels) or 0.0

    def status(self, key: str) -> dict[str, Any]:
        found = self.get("admin", "/status").json()["keys"]
        one: dict[str, Any] = next(one for one in found if one["id"] == key)
        return one


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    secrets = write_keys(file, **KEYS)
    app = create_app(_settings(keys_file=file))
    with TestClient(app) as client:
        yield Guarded(app, client, secrets)


def _settings(**given: Any) -> Settings:
    def fake(source: str = "fake", aliases: tuple[str, ...] = ()) -> ModelSettings:
        return ModelSettings(source=source, engine="fake", devices=("cpu",), aliases=aliases)

    models = {"first": fake(aliases=("rerank-english-v3.0",)), "second": fake("fake?delay_ms=300")}
    return Settings(models=models, **given)


# -- the key itself --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer KEY"},
        {"authorization": "bearer KEY"},
        {"authorization": "BEARER  KEY "},
        {"authorization": "KEY"},
        {"x-api-key": "KEY"},
        {"api-key": "KEY"},
        {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": "KEY"},
        {"authorization": "Bearer None", "api-key": "KEY"},
    ],
)
def test_a_good_key_passes_wherever_clients_put_it(
    guarded: Guarded, headers: dict[str, str]
) -> None:
    sent = {name: value.replace("KEY", guarded.secrets["good"]) for name, value in headers.items()}
    assert guarded.client.post("/v1/rerank", json=BODY, headers=sent).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer None"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"x-api-key": " "},
        {"x-api-key": "null"},
    ],
)
def test_no_key_is_said_to_be_none(guarded: Guarded, headers: dict[str, str]) -> None:
    reply = guarded.client.post("/v1/rerank", json=BODY, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "missing_api_key")
    assert reply.headers["www-authenticate"] == 'Bearer realm="rerank-gateway"'
    assert "Authorization" in reply.json()["message"]


def _wrong(secrets: dict[str, str]) -> list[str]:
    good = secrets["good"]
    return [
        "any",
        good[:-1],
        good + "x",
        good.upper(),
        good.replace("rk_good_", "rk_admin_"),
        good.removeprefix("rk_good_"),
        "ключ",
        "x" * 20_000,
    ]


def test_a_wrong_key_is_refused_and_nothing_else_is_said(guarded: Guarded) -> None:
    """Whatever it has in common with one of ours, its answer is the same, letter for letter."""
    answers = set()
    for secret in _wrong(guarded.secrets):
        headers = [(b"authorization", f"Bearer {secret}".encode()), (b"x-request-id", b"same")]
        reply = guarded.client.post("/v1/rerank", json=BODY, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
        assert reply.headers["www-authenticate"].endswith('error="invalid_token"')
        answers.add(reply.content)
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("key", "words"),
    [("expired", "(expired) expired on 2020-01-31 at 12:30 UTC"), ("revoked", "was revoked")],
)
def test_a_key_that_is_over_says_so_to_who_has_it(guarded: Guarded, key: str, words: str) -> None:
    reply = guarded.rerank(key)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, f"{key}_api_key")
    assert words in reply.json()["message"]
    part = guarded.secrets[key][:-1]
    reply = guarded.client.post("/v1/rerank", json=BODY, headers=bearer(part))
    assert reply.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", [*PATHS, "/models/first/v1/rerank"])
def test_each_api_says_it_in_its_own_words(guarded: Guarded, path: str) -> None:
    said = guarded.client.post(path, json=BODY, headers=bearer("wrong"))
    assert said.status_code == 401
    body, words = said.json(), "this API key is not known here: check it, or ask for a new one"
    assert body["message"] == body["detail"] == words
    if path == "/tei/rerank":
        assert (body["error"], body["error_type"]) == (words, "Validation")
    else:
        assert body["error"] == {
            "message": words,
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    assert said.headers["x-request-id"]


def test_a_body_is_not_read_for_a_wrong_key(guarded: Guarded) -> None:
    """Neither its size nor its form matters before the key does."""
    for extra in ({"content-length": "999999999"}, {"content-encoding": "gzip"}):
        headers = {**bearer("wrong"), **extra}
        assert guarded.client.post("/v1/rerank", content=b"{", headers=headers).status_code == 401


def test_message_pack_is_answered_in_kind(guarded: Guarded) -> None:
    headers = {**bearer("wrong"), "accept": "application/msgpack"}
    reply = guarded.client.post("/v1/rerank", json=BODY, headers=headers)
    assert (reply.status_code, reply.headers["content-type"]) == (401, "application/msgpack")


# -- what a key is good for ------------------------------------------------------------------------


def test_every_path_needs_what_the_table_says(guarded: Guarded) -> None:
    codes = {Need.NOTHING: (200, 200, 200), Need.KEY: (401, 200, 200), Need.ADMIN: (401, 403, 200)}
    for model in ("first", "second"):
        guarded.rerank("good", model=model)  # ready by now
    good, admin = (bearer(guarded.secrets[key]) for key in ("good", "admin"))
    for path, endpoint in READS.items():
        path = path.replace("{name:path}", "first")
        found = tuple(
            guarded.client.get(path, headers=headers).status_code for headers in ({}, good, admin)
        )
        assert found == codes[endpoint.needs], path
    open_paths = {path for path, endpoint in READS.items() if endpoint.needs is Need.NOTHING}
    assert open_paths == {
        "/", "/livez", "/readyz", "/health", "/tei/health", "/openapi.json", "/docs",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/nowhere", "/v1/rerank/", "/admin", "/status/", "/static/x"])
def test_what_is_unknown_needs_a_key(guarded: Guarded, path: str) -> None:
    assert guarded.client.get(path).status_code == 401
    assert guarded.get("good", path).status_code == 404


@pytest.mark.parametrize("path", ["/admin/reload", "/admin/drain?model=nope"])
def test_operations_need_an_admin_key_wherever_it_comes_from(guarded: Guarded, path: str) -> None:
    """With keys neither this machine is enough, nor is another one too far."""
    local = TestClient(guarded.app, client=("127.0.0.1", 1), base_url="http://127.0.0.1")
    assert local.post(path).status_code == 401
    refused = local.post(path, headers=bearer(guarded.secrets["good"]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert "admin = true" in refused.json()["message"]
    headers = {**bearer(guarded.secrets["admin"]), "x-forwarded-for": "192.0.2.1"}
    assert guarded.client.post("/admin/drain?model=nope", headers=headers).status_code == 404


def test_a_key_sees_and_uses_its_own_models(guarded: Guarded) -> None:
    listed = {
        key: [one["id"] for one in guarded.get(key, "/v1/models").json()["data"]]
        for key in ("good", "narrow", "alias", "lost")
    }
    assert listed == {
        "good": ["first", "second"], "narrow": ["second"], "alias": ["first"], "lost": [],
    }  # fmt: skip
    assert guarded.rerank("narrow", model="second").json()["model"] == "second"
    assert guarded.rerank("alias", model="first").json()["model"] == "first"
    assert guarded.rerank("alias", model="rerank-english-v3.0").status_code == 200


@pytest.mark.parametrize(
    ("key", "model", "words"),
    [
        ("narrow", "first", "(narrow) is not for model 'first', but for: second"),
        ("narrow", "rerank-english-v3.0", "(narrow) is not for model 'first', but for: second"),
        ("alias", "second", "(alias) is not for model 'second', but for: first"),
        ("lost", "first", "but for: none that is served now"),
        ("lost", None, "(lost) is not for model 'first'"),
    ],
)
def test_a_key_without_the_model_is_403(
    guarded: Guarded, key: str, model: str | None, words: str
) -> None:
    reply = guarded.rerank(key, model=model)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "model_not_allowed")
    assert reply.json()["error"]["param"] == "model"
    assert words in reply.json()["message"]
    if model is not None:
        assert guarded.rerank(key, f"/models/{model}/rerank").status_code == 403
        for path in (f"/v1/models/{model}", f"/models/{model}/info"):
            assert guarded.get(key, path).status_code == 403


def test_an_unknown_model_lists_those_of_the_key(guarded: Guarded) -> None:
    reply = guarded.rerank("narrow", model="nope")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    assert reply.json()["message"].endswith("this API key is for: second")
    assert guarded.rerank("good", model="nope").json()["message"].endswith("first, second")


def test_the_default_model_is_one_that_the_key_may_use(guarded: Guarded) -> None:
    assert guarded.rerank("good").json()["model"] == "first"
    assert guarded.rerank("narrow").json()["model"] == "second"
    assert guarded.get("narrow", "/info").json()["model_id"] == "second"


# -- how much of it --------------------------------------------------------------------------------


def test_the_rate_of_a_key(guarded: Guarded) -> None:
    first, second = guarded.rerank("slow"), guarded.rerank("slow", documents=[])
    assert (first.status_code, second.status_code) == (200, 400)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    left = [reply.headers["x-ratelimit-remaining-requests"] for reply in (first, second)]
    assert left == ["1", "0"]
    third = guarded.rerank("slow")
    assert (third.status_code, third.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert third.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(third.headers["retry-after"]) <= 30
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    assert third.headers["x-ratelimit-reset-requests"].endswith("s")
    assert int(third.headers["x-ratelimit-reset"]) > 1_700_000_000
    tei = guarded.rerank("slow", "/tei/rerank", texts=["a"])
    assert (tei.status_code, tei.json()["error_type"]) == (429, "Overloaded")
    assert guarded.get("slow", "/v1/models").status_code == 200  # only scores are counted
    assert "x-ratelimit-limit-requests" not in guarded.rerank("good").headers
    one = guarded.status("slow")
    assert (one["requests"], one["refused"], one["documents"], one["open"]) == (2, 2, 2, 0)


def test_the_requests_at_a_time_of_a_key(guarded: Guarded) -> None:
    guarded.rerank("good", model="second")  # loaded by now
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(lambda _: guarded.rerank("single", model="second"), range(3)))
    assert sorted(reply.status_code for reply in replies) == [200, 429, 429]
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert refused.json()["error"]["code"] == "concurrency_limit_exceeded"
    assert refused.headers["retry-after"] == "1"
    assert guarded.status("single")["open"] == 0
    assert guarded.rerank("single").status_code == 200


# -- what is counted and told ----------------------------------------------------------------------


def test_requests_are_counted_by_key(guarded: Guarded) -> None:
    before = guarded.metric("reranker_key_requests_total", key="alias", code="200")
    tokens = guarded.metric("reranker_key_tokens_total", key="alias")
    used = guarded.rerank("alias").json()["usage"]["total_tokens"]
    assert guarded.metric("reranker_key_requests_total", key="alias", code="200") == before + 1
    assert guarded.metric("reranker_key_tokens_total", key="alias") == tokens + used
    assert guarded.metric("reranker_key_documents_total", key="alias") >= 2
    assert guarded.status("alias")["tokens"] == tokens + used


def test_refusals_are_counted_by_their_reason(guarded: Guarded) -> None:
    def counts() -> list[float]:
        codes = ("missing", "invalid", "expired", "revoked")
        return [
            guarded.metric("reranker_keys_refused_total", reason=f"{code}_api_key")
            for code in codes
        ]

    before = counts()
    guarded.client.get("/v1/models")
    guarded.client.get("/v1/models", headers=bearer("wrong"))
    guarded.get("expired", "/v1/models")
    guarded.get("revoked", "/v1/models")
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1, 1]


def test_the_log_has_ids_and_no_secrets(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for key in KEYS:
        guarded.rerank(key)
    for secret in _wrong(guarded.secrets):
        guarded.client.post("/v1/rerank", headers=[(b"x-api-key", secret.encode())])
    notes = [
        (getattr(line, "key", ""), getattr(line, "reason", ""))
        for line in caplog.records
        if line.name == "gateway.access"
    ]
    assert {("good", ""), ("expired", "expired_api_key"), ("revoked", "revoked_api_key")} < set(
        notes
    )
    assert ("good", "invalid_api_key") in notes  # a part of it was sent
    written = repr([vars(line) for line in caplog.records])
    for secret in guarded.secrets.values():
        assert secret.split("_", 2)[2][:20] not in written


# -- files -----------------------------------------------------------------------------------------


def test_without_keys_nobody_is_asked(client: TestClient) -> None:
    assert client.get("/status", headers=bearer("any")).json()["keys"] == []
    assert client.post("/v1/rerank", json=BODY, headers=bearer("any")).status_code == 200


def test_a_file_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        create_app(_settings(keys_file=tmp_path / "keys.toml"))
