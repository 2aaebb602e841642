"""Asking a running gateway over HTTP, with words for when it does not answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import click

DEFAULT_URL = "http://127.0.0.1:8080"
STATUS_SECONDS = 2.0


class NotAnswering(Exception):
    """There is no gateway at this URL, or it is stuck; the message says which."""


def url_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--url`."""
    return click.option(
        "--url",
        envvar="GATEWAY_URL",
        default=DEFAULT_URL,
        show_default=True,
        help="The gateway; also GATEWAY_URL.",
    )(command)


def fetch_json(
    url: str, path: str, *, method: str = "GET", seconds: float = STATUS_SECONDS, **query: str
) -> Any:
    """Return the JSON that a path of a gateway answers with, whatever its HTTP status.

    Raises:
        NotAnswering: no connection, no answer within so many seconds, or no JSON.
    """
    return asyncio.run(_fetch_json(url, path, method, seconds, query))


async def _fetch_json(
    url: str, path: str, method: str, seconds: float, query: dict[str, str]
) -> Any:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url.rstrip("/") + path, params=query) as reply,
        ):
            return await reply.json(content_type=None)
    except TimeoutError:
        raise NotAnswering(
            f"{url} takes connections but has not answered within {seconds:g} s: "
            "the gateway may hang"
        ) from None
    except ValueError as error:
        wrong_url = isinstance(error, aiohttp.InvalidURL)
        reason = "is no URL" if wrong_url else "answers, but not with JSON: it is no rerank gateway"
        raise NotAnswering(f"{url} {reason}") from None
    except aiohttp.ClientError as error:
        raise NotAnswering(
            f"nothing answers at {url} ({error}). Start one with `gateway serve`, or say where it "
            "is with --url"
        ) from None
