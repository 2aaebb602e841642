"""Which trace a request belongs to: the header `traceparent` of W3C Trace Context. Pure.

It is taken whether or not anything is traced here: the log line names the trace, and the reply carries
the header on, so that a caller's trace leads to our log.
"""

import re
from dataclasses import dataclass

HEADER = "traceparent"
_FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}.*"
)
_ZERO = "0"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace and the span in it that asks, in hex."""

    trace_id: str
    span_id: str
    header: str


def trace_context(sent: str | None) -> TraceContext | None:
    """Return the trace that a header names; `None` without one, or where it is not decent."""
    found = _FORM.fullmatch(sent) if sent and len(sent) <= 128 else None
    if found is None or not found["trace"].strip(_ZERO) or not found["span"].strip(_ZERO):
        return None
    assert sent is not None
    is_long = sent.startswith("00-") and len(sent) != 55
    return None if is_long else TraceContext(found["trace"], found["span"], sent[:55])
