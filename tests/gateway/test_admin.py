"""Who may change what is served: the operator on this machine, and nobody else."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway.app import create_app
from tests.gateway.conftest import SETTINGS

LOCAL = ("127.0.0.1", 50_000)
PATHS = ("/admin/reload", "/admin/drain?model=demo")


@pytest.fixture
def app() -> Starlette:
    """A gateway of its own, whose shards are never started."""
    return create_app(SETTINGS)


def client(
    app: Starlette, peer: tuple[str, int] = LOCAL, url: str = "http://127.0.0.1"
) -> TestClient:
    return TestClient(app, client=peer, base_url=url)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "http://LOCALHOST", "http://127.0.0.1:8080", "http://[::1]:80"]
)
def test_the_operator_on_this_machine_passes(
    app: Starlette, path: str, peer: str, url: str
) -> None:
    assert client(app, (peer, 1), url).post(path).status_code == 202


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "peer", ["192.0.2.1", "10.0.0.1", "::2", "::ffff:192.0.2.1", "0.0.0.0", "testclient", ""]
)
def test_other_machines_do_not(app: Starlette, path: str, peer: str) -> None:
    reply = client(app, (peer, 1)).post(path)
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "forbidden"
    assert app.state.reloads.status().attempts == 0
    assert app.state.api.fleet.status()[0].state == "loading"


@pytest.mark.parametrize("path", PATHS)
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
def test_other_host_names_do_not(app: Starlette, path: str, host: str) -> None:
    assert client(app).post(path, headers={"host": host}).status_code == 403


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header", ["Origin", "Forwarded", "Via", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Host"]
)
def test_browsers_and_proxies_do_not(app: Starlette, path: str, header: str) -> None:
    reply = client(app).post(path, headers={header: "http://127.0.0.1"})
    assert reply.status_code == 403
    assert header.lower() in reply.json()["message"]


def test_names_are_checked(app: Starlette) -> None:
    for path in ("/admin/reload?model=nope", "/admin/drain?model=nope"):
        reply = client(app).post(path)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    assert client(app).post("/admin/drain").status_code == 400
    assert client(app).get("/admin/drain").status_code == 405


def test_an_alias_is_as_good_as_the_name(app: Starlette) -> None:
    reply = client(app).post("/admin/drain?model=rerank-english-v3.0")
    assert reply.json() == {"model": "demo", "state": "drained"}
    assert client(app).post("/v1/rerank", json={"query": "q", "documents": ["a"]}).json()["error"][
        "code"
    ] == ("model_drained")
    assert client(app).get("/readyz?model=demo").status_code == 503
