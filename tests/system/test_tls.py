"""TLS with real sockets: what is spoken, renewed by a reload, and not waited for."""

import asyncio
import signal
import socket
import ssl
from pathlib import Path

import pytest

from tests.certificates import make_pair
from tests.system.operator import model, until_settled
from tests.system.running import Gateway, running

PAIR = '[tls]\ncertificate = "{0}.pem"\nkey = "{0}.key"\n'
HTTP = "http.header_seconds = 1\n"


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def served_certificate(gateway: Gateway) -> bytes:
    """Return the certificate that a new connection is shown; it names no server."""
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
        status, _, _ = await gateway.rerank(["a", "b"])  # the old connection lives on
        assert status == 200


async def test_only_tls_is_spoken_and_only_as_new_as_said(tmp_path: Path) -> None:
    certificate, _ = make_pair(tmp_path, "a")
    config = HTTP + PAIR.format("a") + 'minimum_version = "1.3"\n' + model("m")
    async with running(config, tmp_path, tls=trusting(certificate)) as gateway:
        host, port = gateway.url.removeprefix("https://").split(":")
        context = trusting(certificate)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=context)
        with socket.create_connection((host, int(port)), timeout=30) as plain:
            plain.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP" not in await asyncio.to_thread(_all_of, plain)
        with socket.create_connection((host, int(port)), timeout=30) as silent:
            assert await asyncio.to_thread(_all_of, silent) == b""  # ended, not waited for
        assert (await gateway.get("/livez"))[0] == 200


async def test_sigterm_lets_a_request_over_tls_finish(tmp_path: Path) -> None:
    certificate, _ = make_pair(tmp_path, "a")
    async with running(
        PAIR.format("a") + model("m", "delay_ms=500"), tmp_path, tls=trusting(certificate)
    ) as gateway:
        await gateway.until_ready()
        asked = asyncio.create_task(gateway.rerank(["a"]))
        while not (await gateway.shards())["m/cpu:0"]["queue"]:
            await asyncio.sleep(0.01)
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
