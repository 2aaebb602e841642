"""Keys over HTTP: the paths that each key opens, and the errors of the others."""

from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ConfigError
from gateway.dialects import PATHS, ErrorReply, match_path
from gateway.domain.errors import InvalidKey
from gateway.http.routes import READS, Need
from tests.gateway.http.guarded import BODY, Guarded, guarded, settings, wrong_keys
from tests.gateway.http.keys.making import bearer

__all__ = ["guarded"]

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
def test_a_missing_key_is_reported_as_missing(guarded: Guarded, headers: dict[str, str]) -> None:
    reply = guarded.client.post("/v1/rerank", json=BODY, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "missing_api_key")
    assert reply.headers["www-authenticate"] == 'Bearer realm="rerank-gateway"'
    assert "Authorization" in reply.json()["message"]


def test_a_wrong_key_is_refused_and_nothing_else_is_said(guarded: Guarded) -> None:
    """The reply is the same, byte for byte, however close the key is to a valid one."""
    answers = set()
    for secret in wrong_keys(guarded.secrets):
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
def test_the_end_of_a_key_is_reported_for_the_whole_key_only(
    guarded: Guarded, key: str, words: str
) -> None:
    reply = guarded.rerank(key)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, f"{key}_api_key")
    assert words in reply.json()["message"]
    part = guarded.secrets[key][:-1]
    reply = guarded.client.post("/v1/rerank", json=BODY, headers=bearer(part))
    assert reply.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", [*PATHS, "/models/first/v1/rerank"])
def test_each_dialect_has_its_own_format_of_the_error(guarded: Guarded, path: str) -> None:
    reply = guarded.client.post(path, json=BODY, headers=bearer("wrong"))
    assert reply.status_code == 401
    words = "this API key is not known here: check it, or ask for a new one"
    served = match_path(path)
    assert served is not None
    error, id_ = InvalidKey(words), reply.headers["x-request-id"]
    assert reply.json() == msgspec.to_builtins(served.dialect.render_error(error, id_))
    assert words in reply.text
    if served.dialect.contract.error is ErrorReply:
        assert reply.json()["message"] == reply.json()["detail"] == words
        assert reply.json()["error"] == {
            "message": words,
            "type": "authentication_error",
            "param": None,
            "code": "invalid_api_key",
        }
    assert reply.headers["x-request-id"]


def test_a_body_is_not_read_for_a_wrong_key(guarded: Guarded) -> None:
    """The key is checked before the size and the encoding."""
    for extra in ({"content-length": "999999999"}, {"content-encoding": "gzip"}):
        headers = {**bearer("wrong"), **extra}
        assert guarded.client.post("/v1/rerank", content=b"{", headers=headers).status_code == 401


def test_an_error_has_the_accepted_media_type(guarded: Guarded) -> None:
    headers = {**bearer("wrong"), "accept": "application/msgpack"}
    reply = guarded.client.post("/v1/rerank", json=BODY, headers=headers)
    assert (reply.status_code, reply.headers["content-type"]) == (401, "application/msgpack")


# -- permissions -----------------------------------------------------------------------------------


def test_every_path_requires_the_credentials_of_the_table(guarded: Guarded) -> None:
    codes = {Need.NOTHING: (200, 200, 200), Need.KEY: (401, 200, 200), Need.ADMIN: (401, 403, 200)}
    for model in ("first", "second"):
        guarded.rerank("good", model=model)  # ready by now
    good, admin = (bearer(guarded.secrets[key]) for key in ("good", "admin"))
    for path, endpoint in READS.items():
        path = path.replace("{name:path}", "first").replace("{name}", "base.css")
        found = tuple(
            guarded.client.get(path, headers=headers).status_code for headers in ({}, good, admin)
        )
        assert found == codes[endpoint.needs], path
    open_paths = {path for path, endpoint in READS.items() if endpoint.needs is Need.NOTHING}
    probes = {"/healthz", "/ping", "/v1/health/live", "/v1/health/ready"}
    probes |= {"/version", "/v1/cluster/auth", "/livez", "/readyz", "/health", "/tei/health"}
    probes |= {"/weaviate/.well-known/ready", "/weaviate/.well-known/live"}
    assert open_paths == {"/", "/web/{name}", "/openapi.json", "/docs"} | probes


@pytest.mark.parametrize("path", ["/nowhere", "/v1/rerankx", "/admin", "/status/", "/static/x"])
def test_an_unknown_path_requires_a_key(guarded: Guarded, path: str) -> None:
    assert guarded.client.get(path).status_code == 401
    assert guarded.get("good", path).status_code == 404


@pytest.mark.parametrize("path", ["/admin/reload", "/admin/drain?model=nope"])
def test_admin_paths_require_an_admin_key_from_any_origin(guarded: Guarded, path: str) -> None:
    """With keys, the key alone decides, on this machine and on others."""
    local = TestClient(guarded.app, client=("127.0.0.1", 1), base_url="http://127.0.0.1")
    assert local.post(path).status_code == 401
    refused = local.post(path, headers=bearer(guarded.secrets["good"]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert "admin = true" in refused.json()["message"]
    headers = {**bearer(guarded.secrets["admin"]), "x-forwarded-for": "192.0.2.1"}
    assert guarded.client.post("/admin/drain?model=nope", headers=headers).status_code == 404


def test_clients_that_ask_learn_whether_keys_count(guarded: Guarded, client: TestClient) -> None:
    assert guarded.client.get("/v1/cluster/auth").json() == {"auth": True}
    assert client.get("/v1/cluster/auth").json() == {"auth": False}


def test_a_key_sees_and_uses_its_own_models(guarded: Guarded) -> None:
    listed = {
        key: [card["id"] for card in guarded.get(key, "/v1/models").json()["data"]]
        for key in ("good", "narrow", "alias", "lost")
    }
    assert listed == {
        "good": ["first", "second"],
        "narrow": ["second"],
        "alias": ["first"],
        "lost": [],
    }
    assert guarded.rerank("narrow", model="second").json()["model"] == "second"
    assert guarded.rerank("alias", model="first").json()["model"] == "first"
    assert guarded.rerank("alias", model="rerank-english-v3.0").status_code == 200


@pytest.mark.parametrize(
    ("key", "model", "words"),
    [
        ("narrow", "first", "(narrow) is not for model 'first', but for: second"),
        ("narrow", "rerank-english-v3.0", "not for model 'rerank-english-v3.0', but for: second"),
        ("alias", "second", "(alias) is not for model 'second', but for: first"),
        ("lost", "first", "but for: none that is served now"),
        ("lost", None, "(lost) is not for the default model"),
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


# -- files -----------------------------------------------------------------------------------------


def test_without_keys_every_request_passes(client: TestClient) -> None:
    assert client.get("/status", headers=bearer("any")).json()["keys"] == []
    assert client.post("/v1/rerank", json=BODY, headers=bearer("any")).status_code == 200


def test_a_file_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        create_app(settings(keys_file=tmp_path / "keys.toml"))
