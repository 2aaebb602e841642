"""What goes over the wire and comes back: the gateway's shared form, `POST /v1/rerank`.

Documents are sent as plain strings and never asked back: the caller has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from gateway.client.errors import ClientError, InvalidRequest, ServerFault, error_class

PATH = "/v1/rerank"
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Details:
    """How a document was read.

    Attributes:
        margin: the number before the sigmoid.
        tokens: what was read for it, all passages with query and prompt.
        truncated: whether a part of it was not read.
        passages: in how many pairs it was read.
        span: start and end of the best passage in the text that was sent, in characters; `None`
            where the document was cut.
    """

    margin: float
    tokens: int
    truncated: bool
    passages: int
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Scored:
    """One document's score; a margin if `raw_scores` was asked for."""

    index: int
    relevance_score: float
    details: Details | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A success; `scored` is in the server's order, best first."""

    scored: tuple[Scored, ...]
    model: str
    tokens: int
    request_ids: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def request_body(query: str, texts: Sequence[str], **fields: object) -> bytes:
    """Write a request; fields that are `None` are left out.

    Raises:
        InvalidRequest: it cannot be written as JSON.
    """
    sent = {name: value for name, value in fields.items() if value is not None}
    try:
        return orjson.dumps({"query": query, "documents": texts, **sent})
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"the request cannot be written as JSON: {error}") from None


def read_reply(raw: bytes, *, documents: int, request_id: str | None) -> Reply:
    """Read a success.

    Args:
        raw: the body.
        documents: how many were sent.
        request_id: as the headers said.

    Raises:
        ServerFault: it is no rerank reply, or not to this request.
    """
    try:
        said = orjson.loads(raw)
        scored = tuple(
            Scored(one["index"], float(one["relevance_score"]), _details(one))
            for one in said["results"]
        )
        places = {one.index for one in scored}
        if len(places) != len(scored) or not places <= set(range(documents)):
            raise ValueError("its results repeat documents, or name some that were not sent")
        return Reply(
            scored=scored,
            model=str(said.get("model", "")),
            tokens=int((said.get("usage") or {}).get("total_tokens", 0)),
            request_ids=(request_id or str(said.get("id", "")),),
            warnings=tuple((said.get("meta") or {}).get("warnings") or ()),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ServerFault(
            f"the answer is no rerank reply ({error!r}): is this the URL of a rerank server?",
            status=200,
            request_id=request_id,
        ) from None


def _details(one: Mapping[str, Any]) -> Details | None:
    """Return the details of a result, if it has them."""
    if "margin" not in one or "passages" not in one:
        return None
    span = one.get("span")
    return Details(
        margin=float(one["margin"]),
        tokens=int(one["tokens"]),
        truncated=bool(one["truncated"]),
        passages=int(one["passages"]),
        span=(int(span["start"]), int(span["end"])) if span else None,
    )


def read_error(status: int, headers: Mapping[str, str], raw: bytes) -> ClientError:
    """Return the exception for an answer that is no success, whoever wrote it."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        said = None
    code = _code(said)
    return error_class(status, code)(
        _message(said) or raw[:_LONGEST_TEXT].decode(errors="replace") or f"HTTP status {status}",
        status=status,
        code=code,
        request_id=headers.get("x-request-id"),
        retry_after_seconds=retry_after_seconds(headers.get("retry-after"), datetime.now(UTC)),
    )


def retry_after_seconds(text: str | None, now: datetime) -> float | None:
    """Read `Retry-After`: seconds, or a date; `None` if there is none that makes sense."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        wanted = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (wanted.replace(tzinfo=wanted.tzinfo or UTC) - now).total_seconds())


def _message(said: Any) -> str:
    """Return the message of an error in any of the shapes that rerank servers use."""
    if not isinstance(said, dict):
        return ""
    found = (said.get(name) for name in ("message", "detail", "error"))
    texts = (one.get("message") if isinstance(one, dict) else one for one in found)
    return next((text for text in texts if isinstance(text, str)), "")


def _code(said: Any) -> str | None:
    error = said.get("error") if isinstance(said, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None
