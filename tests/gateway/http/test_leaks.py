"""No reply to a client has a path, or a name of a model that the client's key may not use."""

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ModelSettings, Settings
from gateway.dialects import PATHS
from gateway.http.routes import READS
from tests.gateway.http.keys.making import bearer, write_keys

ALIAS = "alias-of-hidden"
HIDDEN = ("hidden-model", "hidden-split", "hidden-twin")
FOREIGN = (
    "hidden-model",
    "hidden-split",
    "hidden-twin",
    "broken-model",
    "nowhere",
    "usable",
    ALIAS,
)


ODD_HEADERS = (
    ("x-request-timeout-ms", "1"),
    ("x-request-timeout-ms", "no number"),
    ("content-encoding", "gzip"),
    ("content-type", "text/plain"),
    ("accept", "nothing/known"),
    ("x-request-id", "hidden-id"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)


class Leaky(NamedTuple):
    """A gateway with a broken model, one that a key may not use, and keys."""

    client: TestClient
    secrets: dict[str, str]
    folder: str


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaky]:
    folder = tmp_path_factory.mktemp("srv")
    weights = folder / "in a folder" / "private-weights"
    weights.mkdir(parents=True)
    (weights / "config.json").write_text("{")
    write_keys(folder / "keys.toml")
    secrets = write_keys(
        folder / "keys.toml",
        user={"models": ("usable", "broken-model")},
        lost={"models": ("nowhere",)},
        spent={"models": ("usable",), "requests_per_minute": 1},
        operator={"admin": True},
    )
    fake = ModelSettings(source="fake", engine="fake", devices=("cpu",))
    models = {
        "usable": fake,
        "broken-model": ModelSettings(source=str(weights), devices=("cpu",)),
        "hidden-model": fake.model_copy(update={"aliases": (ALIAS,)}),
        "hidden-twin": fake,
    }
    splits: Any = {"hidden-split": {"models": {"hidden-model": 1, "hidden-twin": 1}}}
    settings = Settings(models=models, splits=splits, keys_file=folder / "keys.toml")
    with TestClient(create_app(settings)) as client:
        end = time.monotonic() + 120
        operator = bearer(secrets["operator"])
        while str(weights) not in client.get("/status", headers=operator).text:
            assert time.monotonic() < end
            time.sleep(0.05)
        yield Leaky(client, secrets, str(folder))


def replies(leaky: Leaky, headers: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield what is done, sent and received: at all endpoints, and for the errors of a client."""
    client = leaky.client
    names = (None, *FOREIGN)
    for path in (*READS, "/nothing", "/status/", "/admin/reload", "/v1/rerank"):
        for name in names:
            sent = path.replace("{name:path}", str(name)).replace("{name}", "index.html")
            query = {"model": name} if name else {}
            for kind in ("application/json", "text/html"):
                reply = client.get(sent, params=query, headers={**headers, "accept": kind})
                yield f"GET {sent} {name}", str(name), reply.text + str(reply.headers)
    bodies: list[Any] = [{"query": "q", "documents": ["a"]}, {"query": 7}, [], {"documents": []}]
    for path in (*PATHS, *(f"/models/{name}/v1/rerank" for name in FOREIGN), "/nothing"):
        for name in names:
            for body in bodies:
                sent_body = {**body, "model": name} if name and isinstance(body, dict) else body
                reply = client.post(path, json=sent_body, headers=headers)
                yield f"POST {path} {name}", f"{path} {name}", reply.text + str(reply.headers)
    for path in ("/admin/reload", *(f"/admin/drain?model={name}" for name in FOREIGN)):
        yield f"POST {path}", path, client.post(path, headers=headers).text
    yield from odd_replies(client, headers)
    yield from binary_replies(client, headers)
    big = {"content-length": "99999999", **headers}
    yield "too large", "", client.post("/v1/rerank", content=b"", headers=big).text


def odd_replies(client: TestClient, headers: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the replies to other methods and to headers that are refused or have an effect."""
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"):
        for path in ("/v1/rerank", "/v1/models/hidden-model", "/admin/reload", "/nothing"):
            reply = client.request(method, path, headers=headers)
            yield f"{method} {path}", path, reply.text + str(reply.headers)
    for header, value in ODD_HEADERS:
        sent = {**headers, header: value}
        for name in (None, *FOREIGN):
            body = {"query": "q", "documents": ["a"], "model": name}
            reply = client.post("/v1/rerank", json=body, headers=sent)
            yield f"{header}: {value}", str(name), reply.text + str(reply.headers)


def binary_replies(client: TestClient, headers: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield what is sent and received in MessagePack, whose texts stand as they are."""
    binary = {**headers, "content-type": "application/msgpack", "accept": "application/msgpack"}
    for path in PATHS:
        for name in (None, *FOREIGN):
            for body in ({"query": "q", "documents": ["a"], "model": name}, {"model": name}, 7):
                reply = client.post(path, content=msgspec.msgpack.encode(body), headers=binary)
                received = reply.content.decode(errors="replace") + str(reply.headers)
                yield f"MessagePack {path} {name}", f"{path} {name}", received
    for path in ("/v1/models", "/readyz", "/health", "/info", "/status", "/metrics", "/"):
        reply = client.get(path, headers=binary)
        yield f"MessagePack {path}", "", reply.content.decode(errors="replace")


def test_a_key_reads_no_path_and_no_foreign_name(leaky: Leaky) -> None:
    for what, sent, received in replies(leaky, bearer(leaky.secrets["user"])):
        assert leaky.folder not in received, what
        assert "private-weights" not in received, what
        for name in (*HIDDEN, ALIAS):
            assert name in sent or name not in received, (what, received)


def test_a_key_beyond_its_limit_reads_no_foreign_name(leaky: Leaky) -> None:
    headers = bearer(leaky.secrets["spent"])
    sent = {"query": "q", "documents": ["a"]}
    codes = set()
    for name in (None, *FOREIGN):
        reply = leaky.client.post("/v1/rerank", json={**sent, "model": name}, headers=headers)
        codes.add(reply.status_code)
        for foreign in {*FOREIGN, leaky.folder} - {"usable", str(name)}:
            assert foreign not in reply.text + str(reply.headers), name
    assert 429 in codes


@pytest.mark.parametrize("key", ["", "lost", "wrong"])
def test_without_a_valid_key_no_name_is_read(leaky: Leaky, key: str) -> None:
    headers = bearer(leaky.secrets.get(key, "wrong")) if key else {}
    for what, sent, received in replies(leaky, headers):
        assert leaky.folder not in received, what
        for name in FOREIGN:
            assert name in sent or name not in received, (what, received)


def test_the_operator_reads_everything(leaky: Leaky) -> None:
    headers = bearer(leaky.secrets["operator"])
    sent = {"query": "q", "documents": ["a"], "model": "broken-model"}
    reply = leaky.client.post("/v1/rerank", json=sent, headers=headers)
    assert (reply.status_code, leaky.folder in reply.text) == (503, True)
    ready = leaky.client.get("/readyz", headers=headers).json()
    assert ready["models"].keys() == {"usable", "broken-model", "hidden-model", "hidden-twin"}
    assert len(leaky.client.get("/health", headers=headers).json()["models"]) == 4
    assert leaky.folder in json.dumps(leaky.client.get("/status", headers=headers).json())


def test_probes_need_no_key_and_count_models(leaky: Leaky) -> None:
    reply = leaky.client.get("/readyz")
    assert reply.json() == {"ready": True, "reasons": ["1 of the models: failed"], "models": {}}
    assert leaky.client.get("/readyz?model=hidden-model").json()["ready"]
    assert leaky.client.get("/health").json()["models"] == []
    own = leaky.client.get("/readyz", headers=bearer(leaky.secrets["user"])).json()
    assert own["models"].keys() == {"usable", "broken-model"}
