"""The wire format: the shared API of the gateway, `POST /v1/rerank`.

Documents are sent as plain strings, and never requested back: the caller has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from gateway.client.errors import ClientError, InvalidRequest, ServerFault, error_class

PATH = "/v1/rerank"
_LONGEST_TEXT = 500
_NO_JSON = (msgspec.DecodeError, ValueError, RecursionError)  # ValueError: no UTF-8


@dataclass(frozen=True, slots=True)
class Details:
    """Details of one scored document, with `return_details`.

    Attributes:
        margin: the number before the sigmoid.
        tokens: number of tokens read for it, all passages with query and prompt.
        truncated: true if a part of it was not read.
        passages: number of pairs that it was read in.
        span: start and end of the best passage in the text that was sent, in characters; `None`
            where the document was cut.
        stage: the model of a cascade that scored it last, or `input-order` where no model did;
            empty where one model scored all documents.
    """

    margin: float
    tokens: int
    truncated: bool
    passages: int
    span: tuple[int, int] | None
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Scored:
    """One document's score."""

    index: int
    relevance_score: float
    details: Details | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply; `scored` is in the server's order, best first."""

    scored: tuple[Scored, ...]
    model: str
    tokens: int
    request_ids: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def request_body(query: str, texts: Sequence[str], **fields: object) -> bytes:
    """Encode a request; fields that are `None` are left out.

    Raises:
        InvalidRequest: the request cannot be written as JSON.
    """
    sent = {name: value for name, value in fields.items() if value is not None}
    try:
        return msgspec.json.encode({"query": query, "documents": texts, **sent})
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequest(f"the request cannot be written as JSON: {error}") from None


def read_reply(raw: bytes, *, documents: int, request_id: str | None) -> Reply:
    """Decode a successful response.

    Args:
        raw: the body.
        documents: number of documents that were sent.
        request_id: the id in the headers.

    Raises:
        ServerFault: the body is no rerank reply, or none to this request.
    """
    try:
        body = msgspec.json.decode(raw)
        scored = tuple(
            Scored(result["index"], float(result["relevance_score"]), _details(result))
            for result in body["results"]
        )
        indices = {result.index for result in scored}
        if len(indices) != len(scored) or not indices <= set(range(documents)):
            raise ValueError("its results repeat documents, or name some that were not sent")
        return Reply(
            scored=scored,
            model=str(body.get("model", "")),
            tokens=int((body.get("usage") or {}).get("total_tokens", 0)),
            request_ids=(request_id or str(body.get("id", "")),),
            warnings=tuple((body.get("meta") or {}).get("warnings") or ()),
        )
    except (*_NO_JSON, TypeError, KeyError, AttributeError) as error:
        raise ServerFault(
            f"the response is no rerank reply ({error!r}): is this the URL of a rerank server?",
            status=200,
            request_id=request_id,
        ) from None


def _details(result: Mapping[str, Any]) -> Details | None:
    """Return the details of a result, if it has them."""
    if "margin" not in result or "passages" not in result:
        return None
    span = result.get("span")
    return Details(
        margin=float(result["margin"]),
        tokens=int(result["tokens"]),
        truncated=bool(result["truncated"]),
        passages=int(result["passages"]),
        span=(int(span["start"]), int(span["end"])) if span else None,
        stage=str(result.get("stage", "")),
    )


def read_error(status: int, headers: Mapping[str, str], raw: bytes) -> ClientError:
    """Return the exception for an error response, of this gateway or of another server."""
    try:
        body = msgspec.json.decode(raw)
    except _NO_JSON:
        body = None
    code = _code(body)
    return error_class(status, code)(
        _message(body) or raw[:_LONGEST_TEXT].decode(errors="replace") or f"HTTP status {status}",
        status=status,
        code=code,
        request_id=headers.get("x-request-id"),
        retry_after_seconds=retry_after_seconds(headers.get("retry-after"), datetime.now(UTC)),
    )


def retry_after_seconds(text: str | None, now: datetime) -> float | None:
    """Parse `Retry-After`, seconds or a date; return `None` if it is missing or invalid."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        wanted = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (wanted.replace(tzinfo=wanted.tzinfo or UTC) - now).total_seconds())


def _message(body: Any) -> str:
    """Return the message of an error in any of the shapes that rerank servers use."""
    if not isinstance(body, dict):
        return ""
    values = (body.get(name) for name in ("message", "detail", "error"))
    texts = (value.get("message") if isinstance(value, dict) else value for value in values)
    return next((text for text in texts if isinstance(text, str)), "")


def _code(body: Any) -> str | None:
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None
