"""State of one HTTP request: its headers, and what becomes known while it is served.

The headers are parsed once, into a dict that every reader shares.
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.types import Scope

from gateway.dialects import UNKNOWN_PATH, Dialect, RerankPath, match_request
from gateway.domain.request import RerankRequest, RerankResult
from gateway.domain.timeline import Timeline
from gateway.http.keys import Key
from gateway.http.routes import READS, read_path
from gateway.telemetry.metrics import UNKNOWN_MODEL
from gateway.telemetry.tracing import TRACE_HEADER, TraceContext, trace_context

OPERATOR = "gateway.operator"
"""Set in the scope of a request that came in by the operator's own socket."""

BODY_COMPLETE = "gateway.body_complete"
"""Set in the scope of a request whose body has arrived, so that reading it takes no time."""

_KEY = "gateway.context"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class RequestContext:
    """One HTTP request while it is served.

    Attributes:
        request_id: the client's, if it sent a valid one; otherwise a new one.
        dialect: the API that errors are rendered in; the path decides first, then the body.
        is_rerank: true for a request for scores or vectors.
        rerank_path: the path of scores or vectors that it came by; `None` on other paths.
        sent_path: the path as the client has written it, if that is not the path of the table.
        headers: the request's, by lower-case name; of several with one name the first.
        started: `time.monotonic()` seconds.
        model: the public name of the model, once known.
        status: of the reply, once it has started.
        key: the API key that was authenticated, if there are keys.
        is_operator: true if everything is allowed that the operator may do.
        request: what it asks for; `None` until its body is read.
        result: its scores or vectors, once they are there.
        documents, tokens: what was scored for it.
        timeline: where the time of its jobs went.
        trace: the trace that it belongs to, if the client sent one.
        reply_headers: headers to add to the reply, also to an error.
        log_fields: fields to add to its log line; never a text from the client.
        cancel: cancels the work on it, while there is any; the server calls it when the client
            disconnects.
    """

    request_id: str
    dialect: Dialect
    is_rerank: bool
    rerank_path: RerankPath | None = None
    sent_path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    model: str = UNKNOWN_MODEL
    status: int = 0
    key: Key | None = None
    is_operator: bool = False
    request: RerankRequest | None = None
    result: RerankResult | None = None
    documents: int = 0
    tokens: int = 0
    timeline: Timeline = field(default_factory=Timeline)
    trace: TraceContext | None = None
    reply_headers: dict[str, str] = field(default_factory=dict)
    log_fields: dict[str, str] = field(default_factory=dict)
    cancel: Callable[[], object] | None = None

    @classmethod
    def begin(cls, scope: Scope) -> "RequestContext":
        """Create the context of a request and store it in the scope, for `context_of`.

        The path in the scope of a request that reads becomes that of the table, by which both its
        credentials and its endpoint are found.
        """
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in reversed(scope["headers"])
        }
        sent_path, is_post = scope["path"], scope["method"] == "POST"
        path = match_request(sent_path, headers) if is_post or sent_path not in READS else None
        context = scope[_KEY] = cls(
            request_id(headers.get("x-request-id", "")),
            (path or UNKNOWN_PATH).dialect_for(),
            is_rerank=is_post and path is not None,
            rerank_path=path,
            headers=headers,
            is_operator=OPERATOR in scope,
        )
        if not is_post and (read := read_path(sent_path)) != sent_path:
            scope["path"], context.sent_path = read, sent_path
        if traced := trace_context(headers.get(TRACE_HEADER)):
            context.trace = traced
            context.reply_headers[TRACE_HEADER] = traced.header
        return context

    @property
    def seconds(self) -> float:
        """The time since the request arrived."""
        return time.monotonic() - self.started

    @property
    def raw_reply_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every reply to the request, for ASGI: `reply_headers` and its id.

        Clients look for the id under either of two names.
        """
        id_ = self.request_id.encode()
        return [
            (b"x-request-id", id_),
            (b"request-id", id_),
            *(
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in self.reply_headers.items()
            ),
        ]


def context_of(scope: Scope) -> RequestContext:
    """Return the context of a request.

    Raises:
        KeyError: `RequestContext.begin` has not been called for it.
    """
    context = scope[_KEY]
    assert isinstance(context, RequestContext)
    return context


def request_id(sent: str = "") -> str:
    """Return the id that a client sent, if it is valid; otherwise a new one."""
    return sent if sent and _ID.fullmatch(sent) else f"rerank-{os.urandom(16).hex()}"
