"""Asking a running gateway over HTTP, with words for when it does not answer."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from gateway.cli.inputs import BadInput, read_text

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_SOCKET = "/run/rerank-gateway/admin.sock"
UNIX = "unix:"
_KEY_CODES = frozenset({"missing_api_key", "invalid_api_key", "expired_api_key", "revoked_api_key"})
STATUS_SECONDS = 2.0


class NotAnswering(Exception):
    """There is no gateway at this URL, or it is stuck; the message says which."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running gateway as commands ask it.

    Attributes:
        url: `http://...`, `https://...`, or `unix:PATH` for its `admin_socket`.
        key: sent as a bearer token, if there is one.
    """

    url: str
    key: str | None = None

    def __str__(self) -> str:
        return self.url

    @property
    def socket(self) -> str | None:
        """The path of its socket, if it is asked there."""
        return self.url.removeprefix(UNIX) if self.url.startswith(UNIX) else None


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--url` and `--api-key`, which become the argument `target`."""

    @click.option(
        "--url",
        envvar="GATEWAY_URL",
        default=default_url,
        show_default=False,
        help=f"The gateway, or unix:PATH for its admin_socket; also GATEWAY_URL. Default: the socket "
        f"{DEFAULT_SOCKET} (GATEWAY_ADMIN_SOCKET) if there is one, else {DEFAULT_URL}.",
    )
    @api_key_option
    @wraps(command)
    def with_target(url: str, api_key: str | None, **rest: Any) -> Any:
        return command(target=Target(url, read_key(api_key)), **rest)

    return with_target


def api_key_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--api-key`."""
    return click.option(
        "--api-key",
        "--key",
        "api_key",
        metavar="KEY|@FILE",
        envvar="RERANK_API_KEY",
        help="The key to show; also RERANK_API_KEY.",
    )(command)


def read_key(given: str | None) -> str | None:
    """Return a key, or the content of the file that it names; end the command if there is none."""
    if not given:
        return None
    try:
        return read_text(given).strip()
    except BadInput as error:
        raise click.UsageError(f"--api-key: {error}") from None


def default_url() -> str:
    """Return the operator's socket where there is one that we may use, or else the usual port."""
    socket = Path(os.environ.get("GATEWAY_ADMIN_SOCKET") or DEFAULT_SOCKET)
    try:
        usable = socket.is_socket() and os.access(socket, os.W_OK)
    except OSError:
        usable = False
    return f"{UNIX}{socket}" if usable else DEFAULT_URL


def fetch_json(
    target: Target, path: str, *, method: str = "GET", seconds: float = STATUS_SECONDS, **query: str
) -> Any:
    """Return the JSON that a path of a gateway answers with, whatever its HTTP status.

    Raises:
        NotAnswering: no connection, no answer within so many seconds, or no JSON.
    """
    return asyncio.run(_fetch_json(target, path, method, seconds, query))


async def _fetch_json(
    target: Target, path: str, method: str, seconds: float, query: dict[str, str]
) -> Any:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=seconds)
    connector = aiohttp.UnixConnector(target.socket) if target.socket else None
    base = "http://localhost" if target.socket else target.url.rstrip("/")
    headers = {"authorization": f"Bearer {target.key}"} if target.key else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector, headers=headers) as session,
            session.request(method, base + path, params=query) as reply,
        ):
            return await reply.json(content_type=None)
    except TimeoutError:
        raise NotAnswering(
            f"{target} takes connections but has not answered within {seconds:g} s: "
            "the gateway may hang"
        ) from None
    except ValueError as error:
        wrong_url = isinstance(error, aiohttp.InvalidURL)
        reason = "is no URL" if wrong_url else "answers, but not with JSON: it is no rerank gateway"
        raise NotAnswering(f"{target} {reason}") from None
    except aiohttp.ClientError as error:
        raise NotAnswering(
            f"nothing answers at {target} ({error}). Start one with `gateway serve`, or say where it "
            "is with --url"
        ) from None


def refusal(target: Target, found: Any) -> str:
    """Return what an answer says that is not the one that was asked for."""
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        return f"{target} answers, but it is no rerank gateway"
    error = found.get("error")
    code = error.get("code", "") if isinstance(error, dict) else ""
    hint = ". Say it with --api-key, or ask at the gateway's admin_socket"
    return str(found["message"]) + (hint if code in _KEY_CODES else "")
