"""Spellings of paths that are read, and of the operator's: none opens more than another."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app import create_app
from gateway.http.routes import READS, Need, need_of, read_path
from tests.gateway.http.guarded import settings
from tests.gateway.http.keys.making import write_keys
from tests.gateway.http.server.test_server import guarding, talk


@pytest.mark.parametrize(
    ("path", "means"),
    [
        ("/v1/models/", "/v1/models"),
        ("/openai/v1/models", "/v1/models"),
        ("/v3/models", "/models"),
        ("/v1/models/a/b", "/v1/models/a/b"),
        ("/api/v1/models/a/b/", "/v1/models/a/b"),
        ("/api/models/a/b/info", "/models/a/b/info"),
        ("/api/info", "/info"),
        ("/models/a/weaviate/.well-known/ready", "/weaviate/.well-known/ready"),
        ("/livez/", "/livez"),
        ("//readyz", "/readyz"),
        ("//v1//models/", "/v1/models"),
        ("/v1/models//a", "/v1/models/a"),
        ("//", "/"),
    ],
)
def test_spellings(path: str, means: str) -> None:
    assert read_path(path) == means


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/nowhere", "/models/info", "/x/models/info", "/x/livez", "/x/docs"),
        *("/status", "/status/", "//status", "/x/status", "/metrics/", "/x/metrics"),
        *("/v1/models//", "/v1/models///", "//v1/models//", "/api/v1/models//", "/models//"),
        *("/v1/models/a//", "/info//", "/livez//", "/x/weaviate/meta//"),
        *("/web/base.css", "/web//base.css", "/web/../status", "/web/v1/models", "/x/web/base.css"),
        *("/admin/drain", "/admin/drain/", "//admin/drain", "/x/admin/drain", "/admin/v1/models"),
    ],
)
def test_paths_with_one_spelling(path: str) -> None:
    assert read_path(path) == path


words = st.sampled_from(["", ".", "..", "v1", "models", "a", *"".join(READS).split("/")])


@given(parts=st.lists(words, max_size=6))
def test_a_spelling_needs_what_its_path_needs(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    found = read_path(path)
    assert read_path(found) == found
    if found != path:
        assert need_of("GET", found) is not Need.ADMIN
        if need_of("GET", found) is Need.NOTHING and not found.startswith("/weaviate/"):
            assert found.strip("/") == "/".join(filter(None, parts))


async def test_slashes_without_a_name_find_nothing() -> None:
    folders = {path.partition("{")[0] for path in READS} - {"/"}
    async with guarding(create_app(settings())) as port:
        for path in folders:
            for slashes in ("//", "///", "/%2f", "/" * 99):
                head = f"GET {path.rstrip('/')}{slashes} HTTP/1.1\r\nHost: localhost\r\n"
                received = await talk(port, f"{head}Connection: close\r\n\r\n".encode())
                assert received.split()[1] == b"404", path + slashes


OPERATOR = ("/admin/reload", "/admin/drain?model=first", "/status", "/metrics")


def spellings(path: str) -> list[str]:
    """Return spellings of a path that some servers take for the path."""
    first, rest = path[1], path[2:]
    return [
        path,
        f"/%{ord(first):02x}{rest}",
        f"/%{ord(first):02X}{rest}",
        path.replace("/", "//"),
        path.replace("/", "/./"),
        f"/v1/..{path}",
        f"/v1/%2e%2e{path}",
        f"/v1/rerank/..{path}",
        f"/openai{path}",
        f"/voyage{path}",
        f"/models/first{path}",
        f"/v1/models/..{path}",
        f"/livez/..{path}",
        f"/livez/{path}",
        f"/web/..{path}",
        f"/web/..%2f{path[1:]}",
        f"/%2f{path[1:]}",
        path.replace("?", "/?") if "?" in path else f"{path}/",
        f"{path}%3f",
        path.upper(),
        f"http://localhost{path}",
    ]


async def test_no_spelling_opens_the_operators_paths(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    good = write_keys(file, good={})["good"]
    app = create_app(settings(keys_file=file))
    async with guarding(app) as port:
        for path in OPERATOR:
            for spelled in spellings(path):
                for method in ("GET", "POST", "HEAD", "PUT"):
                    head = f"{method} {spelled} HTTP/1.1\r\nHost: localhost\r\nConnection: close"
                    without = await talk(port, f"{head}\r\n\r\n".encode())
                    is_file = spelled.startswith("/web/") and method in {"GET", "HEAD"}
                    assert without.split()[1] == (b"404" if is_file else b"401"), (method, spelled)
                    with_key = f"{head}\r\nAuthorization: Bearer {good}\r\n\r\n"
                    code = (await talk(port, with_key.encode())).split()[1]
                    assert code in {b"403", b"404", b"405"}, (method, spelled, code)


async def test_no_spelling_of_a_rerank_path_passes_without_a_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, good={})
    async with guarding(create_app(settings(keys_file=file))) as port:
        for path in ("/v1/rerank", "/tei/rerank", "/models/first/rerank"):
            for spelled in (*spellings(path), "/web/v1/rerank", "/livez/rerank"):
                head = f"POST {spelled} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                received = await talk(port, f"{head}Connection: close\r\n\r\n".encode())
                assert received.split()[1] == b"401", spelled
