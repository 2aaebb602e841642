"""Scripts of other origins: refused unless configured, and never with cookies."""

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import Settings
from tests.gateway.conftest import SETTINGS

PAGE = "https://search.example"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "X-API-Key"}


def client(*origins: str) -> TestClient:
    """Return a client of a gateway whose shards are never started."""
    settings = SETTINGS.model_copy(update={"cors_origins": origins})
    return TestClient(create_app(settings))


def test_no_origin_is_allowed_unless_configured() -> None:
    for reply in (
        client().get("/livez", headers={"origin": PAGE}),
        client().options("/v1/rerank", headers={"origin": PAGE, **PREFLIGHT}),
    ):
        assert not [name for name in reply.headers if name.startswith("access-control")]


def test_a_configured_origin_is_allowed() -> None:
    asking = client(PAGE, "http://localhost:3000")
    reply = asking.options("/v1/rerank", headers={"origin": PAGE, **PREFLIGHT})
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == PAGE
    allowed = reply.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("authorization", "x-api-key", "content-type"))
    reply = asking.get("/livez", headers={"origin": PAGE})
    assert reply.headers["access-control-allow-origin"] == PAGE
    assert "retry-after" in reply.headers["access-control-expose-headers"].lower()


@pytest.mark.parametrize("origins", [(PAGE,), ("*",)])
@pytest.mark.parametrize("path", ["/nowhere", "/v1/models/nope", "/livez"])
def test_errors_are_readable_and_cookies_are_never_accepted(
    origins: tuple[str, ...], path: str
) -> None:
    reply = client(*origins).get(path, headers={"origin": PAGE, "cookie": "a=b"})
    assert reply.headers["access-control-allow-origin"] in {PAGE, "*"}
    assert "access-control-allow-credentials" not in reply.headers
    assert reply.headers["x-request-id"]


def test_another_origin_is_refused() -> None:
    asking = client(PAGE)
    for origin in ("https://evil.example", PAGE + ".evil.example", "http://search.example", "null"):
        reply = asking.options("/v1/rerank", headers={"origin": origin, **PREFLIGHT})
        assert reply.status_code == 400
        assert "access-control-allow-origin" not in reply.headers
        reply = asking.get("/livez", headers={"origin": origin})
        assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "origin", ["search.example", "https://search.example/", "https://*.example", "ftp://x", ""]
)
def test_an_invalid_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="cors_origins"):
        Settings.model_validate({"cors_origins": (origin,)})
