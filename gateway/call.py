"""One HTTP request while it lasts: what its head says, and what becomes known of it on the way.

Its headers are read once, into a dict; whoever looks for one looks there.
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.types import Scope

from gateway.dialects import ELSEWHERE, Dialect, Place, place_of
from gateway.keys import Key
from gateway.metrics import UNKNOWN_MODEL
from gateway.timeline import Timeline
from gateway.trace_context import HEADER as TRACE_HEADER
from gateway.trace_context import TraceContext, trace_context

OPERATOR = "gateway.operator"
"""In the scope of a request that came in by the operator's own socket."""

WHOLE = "gateway.whole"
"""In the scope of a request whose body is there, so that reading it takes no time."""

_KEY = "gateway.call"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Call:
    """What is known about one HTTP request while it lasts.

    Attributes:
        request_id: the client's, if it sent a decent one, or else ours.
        dialect: in whose words errors are told; the path decides first, then the body.
        is_rerank: whether it asks for scores.
        place: what its path says; `None` where nobody asks for scores.
        sent: its headers by lower-case name; of several of one name the first.
        started: monotonic seconds.
        model: the public name of the model, once known.
        status: of the reply, once it has started.
        key: what the client has shown, if there are keys.
        is_operator: whether it may do whatever the operator may, because of where it comes from.
        documents, tokens: what was scored for it.
        timeline: where the time of its jobs went.
        trace: the trace it belongs to, if the client says so.
        headers: what the reply has beside its own, errors included.
        notes: what the log line has beside its own; never a text of the client's.
        give_up: ends the work for it, if it is at work that nobody else wants; the server calls it
            when the client leaves.
    """

    request_id: str
    dialect: Dialect
    is_rerank: bool
    place: Place | None = None
    sent: Mapping[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    model: str = UNKNOWN_MODEL
    status: int = 0
    key: Key | None = None
    is_operator: bool = False
    documents: int = 0
    tokens: int = 0
    timeline: Timeline = field(default_factory=Timeline)
    trace: TraceContext | None = None
    headers: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    give_up: Callable[[], object] | None = None

    @classmethod
    def begin(cls, scope: Scope) -> "Call":
        """Note that a request has come; `call_of` finds it from now on."""
        sent = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in reversed(scope["headers"])
        }
        place = place_of(scope["path"])
        call = scope[_KEY] = cls(
            request_id(sent.get("x-request-id", "")),
            (place or ELSEWHERE).dialect_for(),
            is_rerank=scope["method"] == "POST" and place is not None,
            place=place,
            sent=sent,
            is_operator=OPERATOR in scope,
        )
        if traced := trace_context(sent.get(TRACE_HEADER)):
            call.trace = traced
            call.headers[TRACE_HEADER] = traced.header
        return call

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.started

    @property
    def reply_headers(self) -> list[tuple[bytes, bytes]]:
        """What every reply to it has: its id under both names that clients look for, and `headers`."""
        id_ = self.request_id.encode()
        return [
            (b"x-request-id", id_),
            (b"request-id", id_),
            *(
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in self.headers.items()
            ),
        ]


def call_of(scope: Scope) -> Call:
    """Return the call of a request.

    Raises:
        KeyError: it has not begun.
    """
    call = scope[_KEY]
    assert isinstance(call, Call)
    return call


def request_id(sent: str = "") -> str:
    """Return the id that a client has sent, if it is decent, or a new one."""
    return sent if sent and _ID.fullmatch(sent) else f"rerank-{os.urandom(16).hex()}"
