"""TLS with real sockets: versions, renewal by a reload, and silent clients."""

import asyncio
import contextlib
import signal
import socket
import ssl
import warnings
from pathlib import Path

import aiohttp
import pytest

from tests.certificates import make_expired_pair, make_pair
from tests.system.operator import model, until_settled, write
from tests.system.running import Gateway, running

PAIR = '[tls]\ncertificate = "{0}.pem"\nkey = "{0}.key"\n'
HTTP = "http.header_seconds = 4\n"


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def served_certificate(gateway: Gateway) -> bytes:
    """Return the certificate that a new connection gets without a server name."""
    host, port = gateway.url.removeprefix("https://").split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


def der(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


async def test_a_certificate_is_shown_and_renewed_by_a_reload(tmp_path: Path) -> None:
    old, _ = make_pair(tmp_path, "old")
    new, _ = make_pair(tmp_path, "new")
    async with running(PAIR.format("old") + model("m"), tmp_path, tls=trusting(old)) as gateway:
        await gateway.until_ready()
        status, _, _ = await gateway.rerank(["a", "b"])
        assert (status, await served_certificate(gateway)) == (200, der(old))

        (tmp_path / "gateway.toml").write_text("port = 0\n" + PAIR.format("nowhere") + model("m"))
        gateway.signal(signal.SIGHUP)
        found = (await until_settled(gateway, 1))["last"]
        assert not found["ok"] and "nowhere.pem cannot be read" in found["errors"][0]
        assert await served_certificate(gateway) == der(old)

        (tmp_path / "gateway.toml").write_text("port = 0\n" + PAIR.format("new") + model("m"))
        gateway.signal(signal.SIGHUP)
        found = (await until_settled(gateway, 2))["last"]
        assert found["ok"] and not found["warnings"], found
        assert await served_certificate(gateway) == der(new)
        status, _, _ = await gateway.rerank(["a", "b"])  # over the old connection
        assert status == 200


async def test_only_tls_of_the_minimum_version_is_accepted(tmp_path: Path) -> None:
    certificate, _ = make_pair(tmp_path, "a")
    config = HTTP + PAIR.format("a") + 'minimum_version = "1.3"\n' + model("m")
    async with running(config, tmp_path, tls=trusting(certificate)) as gateway:
        host, port = gateway.url.removeprefix("https://").split(":")
        context = trusting(certificate)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=context)
        with socket.create_connection((host, int(port)), timeout=120) as plain:
            plain.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP" not in await asyncio.to_thread(_all_of, plain)
        with socket.create_connection((host, int(port)), timeout=120) as silent:
            assert await asyncio.to_thread(_all_of, silent) == b""  # the handshake is not awaited
        assert (await gateway.get("/livez"))[0] == 200


def client_hello() -> bytes:
    """Return the first bytes of a handshake."""
    sent = ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        client.wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    return sent.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused_with_an_alert(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    certificate, _ = make_pair(tmp_path, "a")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is tested
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL does not offer them
        old.minimum_version = old.maximum_version = version
    async with running(PAIR.format("a") + model("m"), tmp_path, tls=trusting(certificate)) as it:
        host, port = it.url.removeprefix("https://").split(":")
        with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
            await asyncio.open_connection(host, int(port), ssl=old)
        modern = trusting(certificate)
        modern.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # not of a key like this one
        modern.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
            await asyncio.open_connection(host, int(port), ssl=modern)
        assert (await it.get("/livez"))[0] == 200


async def test_stalled_handshakes_hold_nothing_up(tmp_path: Path) -> None:
    """Half of them stop within the first message, half after it."""
    certificate, _ = make_pair(tmp_path, "a")
    config = HTTP + PAIR.format("a") + model("m")
    async with running(config, tmp_path, tls=trusting(certificate)) as gateway:
        await gateway.until_ready()
        host, port = gateway.url.removeprefix("https://").split(":")
        hello = client_hello()
        with contextlib.ExitStack() as stack:
            stalled = []
            for number in range(100):
                connection = socket.create_connection((host, int(port)), timeout=120)
                stalled.append(stack.enter_context(connection))
                connection.sendall(hello if number % 2 else hello[: len(hello) // 2])
            for _ in range(10):
                assert (await gateway.rerank(["a"]))[0] == 200
            for number, connection in enumerate(stalled):
                received = await asyncio.to_thread(_all_of, connection)
                assert bool(received) == bool(number % 2)  # a reply to a whole message only
        assert (await gateway.rerank(["a"]))[0] == 200


async def test_certificates_are_renewed_under_load(tmp_path: Path) -> None:
    """Clients with a connection for each request, and one with a single one, see no error."""
    names, context = ("a", "b", "c"), ssl.create_default_context()
    for name in names:
        context.load_verify_locations(make_pair(tmp_path, name)[0])
    make_expired_pair(tmp_path, "expired")
    (tmp_path / "mixed.pem").write_bytes((tmp_path / "a.pem").read_bytes())
    (tmp_path / "mixed.key").write_bytes((tmp_path / "b.key").read_bytes())
    codes: list[int] = []
    is_over = asyncio.Event()

    async def client(gateway: Gateway, *, reuse: bool) -> None:
        connector = aiohttp.TCPConnector(ssl=context, force_close=not reuse)
        async with aiohttp.ClientSession(connector=connector) as session:
            body = {"query": "q", "documents": ["a"]}
            while not is_over.is_set():
                async with session.post(gateway.url + "/v1/rerank", json=body) as reply:
                    codes.append(reply.status)

    async with running(PAIR.format("a") + model("m"), tmp_path, tls=context) as gateway:
        await gateway.until_ready()
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(client(gateway, reuse=number == 0))
            for attempt, name in enumerate(("b", "expired", "c", "mixed", "a"), 1):
                write(tmp_path, PAIR.format(name) + model("m"))
                gateway.signal(signal.SIGHUP)
                found = (await until_settled(gateway, attempt))["last"]
                assert found["ok"] == (name in names), found
                shown = {"expired": "b", "mixed": "c"}.get(name, name)
                assert await served_certificate(gateway) == der(tmp_path / f"{shown}.pem")
                if name == "expired":
                    assert "expired.pem has expired" in found["errors"][0]
                if name == "mixed":
                    assert "mixed.key does not belong to the certificate" in found["errors"][0]
            is_over.set()
        assert len(codes) > 20
        assert set(codes) == {200}


async def test_sigterm_lets_a_request_over_tls_finish(tmp_path: Path) -> None:
    certificate, _ = make_pair(tmp_path, "a")
    async with running(
        PAIR.format("a") + model("m", "delay_ms=2500"), tmp_path, tls=trusting(certificate)
    ) as gateway:
        await gateway.until_ready()
        asked = asyncio.create_task(gateway.rerank(["a"]))
        await gateway.until(lambda shards: shards["m/cpu:0"]["queue"] > 0)
        gateway.signal(signal.SIGTERM)
        assert (await asked)[0] == 200
        assert await gateway.wait() == 0


def _all_of(connection: socket.socket) -> bytes:
    found = b""
    try:
        while part := connection.recv(4096):
            found += part
    except ConnectionResetError:
        pass
    return found
