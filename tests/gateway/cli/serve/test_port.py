"""Listening sockets of `gateway serve`."""

import os
import socket

import pytest

from gateway.cli.serve.port import PortUnavailable, listen, url


def test_clients_can_connect_before_any_connection_is_accepted() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
        with socket.create_connection(listener.getsockname(), timeout=60):
            pass


def test_a_second_gateway_fails_at_once_and_names_the_first() -> None:
    with listen("localhost", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            PortUnavailable, match=rf"port {port} is in use by process {os.getpid()}"
        ):
            listen("localhost", port)


def test_a_port_is_free_again_after_its_gateway() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(listener.getsockname()):
            listener.accept()[0].close()
    listen("127.0.0.1", port).close()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6(host: str) -> None:
    try:
        listener = listen(host, 0)
    except PortUnavailable as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    with listener:
        assert url(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_a_name_that_is_no_address() -> None:
    with pytest.raises(PortUnavailable, match="no address of this machine"):
        listen("host.invalid", 0)
