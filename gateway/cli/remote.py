"""HTTP requests to a running gateway, and error texts for one that does not answer."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from gateway.cli.inputs import BadInput, read_text
from gateway.cli.operator_socket import UNIX, socket_of_url

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_SOCKET = "/run/rerank-gateway/admin.sock"
STATUS_SECONDS = 2.0

_KEY_CODES = frozenset({"missing_api_key", "invalid_api_key", "expired_api_key", "revoked_api_key"})


class NotAnswering(Exception):
    """No gateway answers at this URL, or it hangs; the message tells the cases apart."""


@dataclass(frozen=True, slots=True)
class Target:
    """The address of a running gateway, and the key for it.

    Attributes:
        url: `http://...`, `https://...`, or `unix:PATH` for its `admin_socket`.
        key: the bearer token of requests, if there is one.
    """

    url: str
    key: str | None = None

    def __str__(self) -> str:
        return self.url

    @property
    def socket(self) -> str | None:
        """The path of a Unix socket; None for a URL over TCP."""
        return self.url.removeprefix(UNIX) if self.url.startswith(UNIX) else None


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--url` and `--api-key`, which become the argument `target`."""

    @click.option(
        "--url",
        metavar="URL",
        envvar="GATEWAY_URL",
        default=default_url,
        show_default=False,
        help="URL of the gateway, or unix:PATH of its admin_socket (default: the admin socket of "
        f"this machine if there is one, else {DEFAULT_URL}; env: GATEWAY_URL, "
        "GATEWAY_ADMIN_SOCKET). Without a key, your own gateway is asked by its socket.",
    )
    @api_key_option
    @wraps(command)
    def with_target(url: str, api_key: str | None, **rest: Any) -> Any:
        key = read_key(api_key)
        from gateway.client.address import complete_url  # here: it imports aiohttp

        url = complete_url(url)
        return command(target=Target(url if key else operator_url(url), key), **rest)

    return with_target


def api_key_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--api-key`."""
    return click.option(
        "--api-key",
        "--key",
        "api_key",
        metavar="KEY|@FILE",
        envvar="RERANK_API_KEY",
        help="API key, or the file that holds it (default: none; env: RERANK_API_KEY).",
    )(command)


def read_key(given: str | None) -> str | None:
    """Return a key, or the content of the file named instead; end the command without the file."""
    if not given:
        return None
    try:
        return read_text(given).strip()
    except BadInput as error:
        raise click.UsageError(f"--api-key: {error}") from None


def default_url() -> str:
    """Return the operator's socket if this process may use it, else the default port."""
    socket = Path(os.environ.get("GATEWAY_ADMIN_SOCKET") or DEFAULT_SOCKET)
    try:
        usable = socket.is_socket() and os.access(socket, os.W_OK)
    except OSError:
        usable = False
    return f"{UNIX}{socket}" if usable else operator_url(DEFAULT_URL)


def operator_url(url: str) -> str:
    """Return the socket of this user's gateway at a URL of this machine, else the URL itself."""
    socket = socket_of_url(url)
    return f"{UNIX}{socket}" if socket else url


def fetch_json(
    target: Target, path: str, *, method: str = "GET", seconds: float = STATUS_SECONDS, **query: str
) -> Any:
    """Return the JSON body of a reply, whatever its HTTP status.

    Raises:
        NotAnswering: no connection, no reply within so many seconds, or no JSON.
    """
    return asyncio.run(_fetch_json(target, path, method, seconds, query))


async def _fetch_json(
    target: Target, path: str, method: str, seconds: float, query: dict[str, str]
) -> Any:
    import aiohttp

    from gateway.client.address import complete_url

    timeout = aiohttp.ClientTimeout(total=seconds)
    connector = aiohttp.UnixConnector(target.socket) if target.socket else None
    base = "http://localhost" if target.socket else complete_url(target.url).rstrip("/")
    headers = {"authorization": f"Bearer {target.key}"} if target.key else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector, headers=headers) as session,
            session.request(method, base + path, params=query) as reply,
        ):
            return await reply.json(content_type=None)
    except TimeoutError:
        raise NotAnswering(
            f"{target} accepts connections but has not answered within {seconds:g} s: "
            "the gateway may hang"
        ) from None
    except ValueError as error:
        wrong_url = isinstance(error, aiohttp.InvalidURL)
        reason = "is no URL" if wrong_url else "answers, but not with JSON: it is no rerank gateway"
        raise NotAnswering(f"{target} {reason}") from None
    except aiohttp.ClientError as error:
        if reason := await _wrong_scheme(error, target.url):
            raise NotAnswering(f"{target} cannot be reached: {reason}") from None
        raise NotAnswering(
            f"nothing answers at {target} ({error}). Start a gateway with `gateway serve`, or give "
            "its address with --url"
        ) from None


async def _wrong_scheme(error: Exception, url: str) -> str:
    """Return what is wrong with the scheme or the certificate of a URL; empty if neither is."""
    from gateway.client.address import connection_problem

    reason = await connection_problem(error, url)
    return "" if reason in (str(error), type(error).__name__) else reason


def refusal(target: Target, found: Any) -> str:
    """Return the error message of a reply, with a hint if a key is missing or wrong."""
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        return f"{target} answers, but it is no rerank gateway"
    error = found.get("error")
    code = error.get("code", "") if isinstance(error, dict) else ""
    hint = ". Pass the key with --api-key, or use the gateway's admin_socket"
    return str(found["message"]) + (hint if code in _KEY_CODES else "")
