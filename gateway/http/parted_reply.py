"""A reply that is encoded while it is sent, part by part, with turns for other requests between."""

import asyncio
from collections.abc import Iterator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class PartedReply:
    """A reply of parts, each of which takes the event loop for about a millisecond."""

    def __init__(self, parts: Iterator[bytes], headers: Mapping[str, str], media_type: str) -> None:
        self._parts = parts
        self._headers = dict(headers)
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply; one of a single part has its length in the head."""
        part, following = next(self._parts), next(self._parts, None)
        if following is not None and scope.get("http_version") == "1.0":  # it has no chunks
            part, following = await self._joined([part, following]), None
        if following is None:
            whole = Response(part, headers=self._headers, media_type=self._media_type)
            await whole(scope, receive, send)
            return
        # The length is known at the end only.
        head = Response(headers=self._headers, media_type=self._media_type).raw_headers
        head = [(name, value) for name, value in head if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        while following is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)
            part, following = following, next(self._parts, None)
        await send({"type": "http.response.body", "body": part})

    async def _joined(self, parts: list[bytes]) -> bytes:
        """Return the whole reply, made part by part as well."""
        for part in self._parts:
            parts.append(part)
            await asyncio.sleep(0)
        return b"".join(parts)
