"""Addresses without a scheme, and the reasons of connections that fail, with real servers."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.client import AsyncClient, ConnectionFailed, Retries
from gateway.client.address import complete_url, connection_problem
from tests.certificates import make_pair


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:8080/v1", "http://localhost:8080/v1"),
        (" rerank.example ", "http://rerank.example"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("http://a", "http://a"),
        ("HTTPS://a", "HTTPS://a"),
        ("http:a", "http:a"),  # a mistake, which is not made worse
        ("unix:/run/gateway.sock", "unix:/run/gateway.sock"),
        ("no url", "no url"),
        ("", ""),
    ],
)
def test_an_address_may_lack_its_scheme(given: str, url: str) -> None:
    assert complete_url(given) == url


@asynccontextmanager
async def server(context: ssl.SSLContext | None, reply: bytes = b"") -> AsyncIterator[str]:
    """Yield host and port of a server that sends one reply and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(reply)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def presenting(folder: Path, *options: str) -> ssl.SSLContext:
    certificate, key = make_pair(folder, "own", *options)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def problem(url: str, trusted: Path | None = None) -> str:
    """Return the problem of a request to a URL."""
    context = ssl.create_default_context(cafile=trusted)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as error:
            await session.post(url, data=b"{}", ssl=context)
    return await connection_problem(error.value, url)


async def test_https_to_a_port_without_tls() -> None:
    for reply in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"):
        async with server(None, reply) as address:
            wanted = f"the port speaks plain HTTP, not TLS: use http://{address}/v1"
            assert await problem(f"https://{address}/v1") == wanted


async def test_http_to_a_port_with_tls(tmp_path: Path) -> None:
    async with server(presenting(tmp_path)) as address:
        wanted = f"the port speaks TLS: use https://{address}/v1"
        assert await problem(f"http://{address}/v1") == wanted


async def test_certificates_that_are_not_accepted(tmp_path: Path) -> None:
    async with server(presenting(tmp_path)) as address:
        found = await problem(f"https://{address}")
        assert "self-signed certificate" in found and "SSL_CERT_FILE" in found
        port = address.partition(":")[2]
        found = await problem(f"https://localhost:{port}", tmp_path / "own.pem")
        assert "mismatch" in found.lower() and "use a name that the certificate has" in found
    (tmp_path / "old").mkdir()
    times = ("-nodes", "-not_before", "20200101000000Z", "-not_after", "20200102000000Z")
    try:
        expired = presenting(tmp_path / "old", *times)
    except subprocess.CalledProcessError:
        return  # openssl before 3.4 cannot backdate
    async with server(expired) as address:
        found = await problem(f"https://{address}", tmp_path / "old" / "own.pem")
        assert "expired" in found and "renew" in found


async def test_other_failures_keep_their_reason() -> None:
    async with server(None) as address:
        pass
    assert "Connect call failed" in await problem(f"http://{address}")
    assert "Connect call failed" in await problem(f"https://{address}")
    async with server(None) as address:
        assert "Server disconnected" in await problem(f"http://{address}")


async def test_the_client_names_the_mistake(served: str, tmp_path: Path) -> None:
    once = Retries(tries=1)
    async with AsyncClient(served.removeprefix("http://")) as client:
        assert len(await client.rerank("q", ["a", "b"], model="demo")) == 2
    async with AsyncClient(served.replace("http", "https"), retries=once) as client:
        with pytest.raises(ConnectionFailed, match="speaks plain HTTP, not TLS: use http://"):
            await client.rerank("q", ["a"])
    async with server(presenting(tmp_path)) as address:
        async with AsyncClient(address, retries=once) as client:
            with pytest.raises(ConnectionFailed, match="speaks TLS: use https://"):
                await client.rerank("q", ["a"])
        remedy = [sys.executable, "-c", _REQUEST, f"https://{address}"]
        trusting = {"SSL_CERT_FILE": str(tmp_path / "own.pem"), "PATH": ""}
        assert "Server disconnected" in await output(remedy, trusting)
        assert "self-signed" in await output(remedy, {"PATH": ""})


_REQUEST = """
import sys
from gateway.client import Client, ConnectionFailed, Retries
try:
    Client(sys.argv[1], retries=Retries(tries=1)).rerank("q", ["a"])
except ConnectionFailed as error:
    print(error)
"""


async def output(command: Iterable[str], environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env=environment, cwd=Path(__file__).parents[3]
    )
    found, _ = await process.communicate()
    return found.decode()
