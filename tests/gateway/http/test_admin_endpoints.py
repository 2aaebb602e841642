"""Changes of what is served are for the operator; status and metrics are open to this machine."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from gateway.app import create_app
from gateway.config import Settings
from gateway.http.request_context import OPERATOR
from tests.gateway.conftest import SETTINGS

LOCAL = ("127.0.0.1", 50_000)
CHANGES = ("/admin/reload", "/admin/drain?model=demo", "/admin/unload?model=demo")
READS = ("/status", "/metrics")
PEERS = ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"]
URLS = ["http://localhost:8080", "http://LOCALHOST", "http://127.0.0.1:8080", "http://[::1]:80"]


@pytest.fixture
def app() -> Starlette:
    """Return a gateway whose shards are never started."""
    return create_app(SETTINGS)


def client(
    app: Starlette, peer: tuple[str, int] = LOCAL, url: str = "http://127.0.0.1"
) -> TestClient:
    return TestClient(app, client=peer, base_url=url)


def operator(app: Starlette) -> TestClient:
    """Return a client that comes in by the operator's socket."""

    async def by_socket(scope: Scope, receive: Receive, send: Send) -> None:
        scope[OPERATOR] = True
        await app(scope, receive, send)

    return TestClient(by_socket)


@pytest.mark.parametrize("peer", [*PEERS, "192.0.2.1", ""])
@pytest.mark.parametrize("url", [*URLS, "http://rerank.example"])
@pytest.mark.parametrize("path", CHANGES)
def test_no_address_makes_a_client_the_operator(
    app: Starlette, path: str, peer: str, url: str
) -> None:
    reply = client(app, (peer, 1), url).post(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")
    assert "use the operator's socket" in reply.json()["message"]
    assert "an API key with admin = true" in reply.json()["message"]
    assert app.state.gateway.reloads.status().attempts == 0
    assert app.state.gateway.fleet.status()[0].state == "loading"
    assert operator(app).post(path).status_code == 202


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("url", URLS)
def test_status_is_open_to_this_machine(app: Starlette, path: str, peer: str, url: str) -> None:
    assert client(app, (peer, 1), url).get(path).status_code == 200


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "peer", ["192.0.2.1", "10.0.0.1", "::2", "::ffff:192.0.2.1", "0.0.0.0", "testclient", ""]
)
def test_status_is_closed_to_other_machines(app: Starlette, path: str, peer: str) -> None:
    reply = client(app, (peer, 1)).get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")
    assert operator(app).get(path).status_code == 200


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "host",
    [
        "rerank.example",
        "127.0.0.1.rerank.example",
        "localhost.rerank.example",
        "192.0.2.1:8080",
        "[::2]:80",
        "",
    ],
)
def test_status_is_closed_under_other_host_names(app: Starlette, path: str, host: str) -> None:
    assert client(app).get(path, headers={"host": host}).status_code == 403


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "header", ["Origin", "Forwarded", "Via", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Host"]
)
def test_status_is_closed_to_browsers_and_proxies(app: Starlette, path: str, header: str) -> None:
    reply = client(app).get(path, headers={header: "http://127.0.0.1"})
    assert reply.status_code == 403
    assert header.lower() in reply.json()["message"]


@pytest.mark.parametrize("path", READS)
def test_a_setting_closes_status(path: str) -> None:
    models = SETTINGS.models
    app = create_app(Settings(models=models, http={"open_status": False}))
    reply = client(app).get(path)
    assert (reply.status_code, "http.open_status is false" in reply.text) == (403, True)
    assert operator(app).get(path).status_code == 200


def test_names_are_checked(app: Starlette) -> None:
    asked = ("reload", "drain", "load", "unload")
    for path in (f"/admin/{change}?model=nope" for change in asked):
        reply = operator(app).post(path)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    assert operator(app).post("/admin/drain").status_code == 400
    assert operator(app).get("/admin/drain").status_code == 405


def test_an_alias_names_its_model(app: Starlette) -> None:
    reply = operator(app).post("/admin/drain?model=rerank-english-v3.0")
    assert reply.json() == {"model": "demo", "state": "drained"}
    assert client(app).post("/v1/rerank", json={"query": "q", "documents": ["a"]}).json()["error"][
        "code"
    ] == ("model_drained")
    assert client(app).get("/readyz?model=demo").status_code == 503
