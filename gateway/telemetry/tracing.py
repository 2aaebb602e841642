"""Traces: the header `traceparent` of W3C Trace Context, and spans for OpenTelemetry.

The header is read whether or not spans are sent: the log line names the trace, and the reply
carries the header on, so that a caller's trace leads to our log.

Spans need `tracing = true` and the extra `otel`. Their destination comes from the variables that
every OpenTelemetry program reads (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER, ...). A request is one server span; below it are the phases of each job. Spans
are made after the request, from times that are recorded anyway, and sent by a thread of the SDK
with a bounded queue: spans that cannot be sent are dropped, and no request waits for them. They
hold no text of a request, unless `trace_text_characters` says how much.
"""

import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.domain.timeline import Timeline, spans
from gateway.telemetry.span_attributes import Attributes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "rerank-gateway"
FLUSH_MILLISECONDS = 2000
_SERVER_ERRORS = 500
_NANO = 1e9

TRACE_HEADER = "traceparent"
_FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}.*"
)
_LENGTH = 55  # of version 00; later versions may append fields
_LONGEST = 128
_ZERO = "0"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace and the calling span in it, in hex."""

    trace_id: str
    span_id: str
    header: str


def trace_context(sent: str | None) -> TraceContext | None:
    """Return the trace that a header names; `None` without a header, or if it is malformed."""
    found = _FORM.fullmatch(sent) if sent and len(sent) <= _LONGEST else None
    if found is None or not found["trace"].strip(_ZERO) or not found["span"].strip(_ZERO):
        return None
    assert sent is not None
    is_long = sent.startswith("00-") and len(sent) != _LENGTH
    return None if is_long else TraceContext(found["trace"], found["span"], sent[:_LENGTH])


class TracingUnavailable(Exception):
    """OpenTelemetry is not installed; the message names the packages."""


class Tracing:
    """Sender of spans.

    Attributes:
        text_characters: the most characters of each text that spans carry; 0 for no text.
    """

    def __init__(self, provider: "TracerProvider", text_characters: int = 0) -> None:
        self.text_characters = text_characters
        self._provider = provider
        self._tracer = provider.get_tracer("gateway")

    @classmethod
    def from_environment(cls, text_characters: int = 0) -> "Tracing":
        """Return a sender to the destination of the environment, by OTLP over HTTP.

        Raises:
            TracingUnavailable: OpenTelemetry is not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise TracingUnavailable(
                f"tracing = true needs OpenTelemetry ({error.name} is missing): pip install "
                "'rerank-gateway[otel]', or in a checkout .venv/bin/pip install -c "
                "scripts/constraints.txt opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
            ) from None
        name = os.environ.get("OTEL_SERVICE_NAME", SERVICE)
        provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider, text_characters)

    def request_finished(
        self,
        *,
        name: str,
        started: float,
        now: float,
        traceparent: str | None,
        timeline: Timeline,
        code: int,
        attributes: Attributes,
    ) -> None:
        """Send the spans of a request, the first of them by this name.

        It took from `started` to `now`, monotonic seconds.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode

        clock = _Clock()
        server = self._tracer.start_span(
            name,
            context=_parent(traceparent),
            kind=SpanKind.SERVER,
            start_time=clock.at(started),
            attributes={**attributes, "http.response.status_code": code},
        )
        if code >= _SERVER_ERRORS:
            server.set_status(Status(StatusCode.ERROR))
        self._send_jobs(server, timeline, clock)
        server.end(clock.at(now))

    def _send_jobs(self, server: Any, timeline: Timeline, clock: "_Clock") -> None:
        from opentelemetry.trace import set_span_in_context

        below = set_span_in_context(server)
        for job in timeline.jobs:
            about: dict[str, str | int] = {
                "shard": job.shard,
                "documents": job.documents,
                "tokens": job.tokens,
            }
            for phase in spans(job):
                span = self._tracer.start_span(
                    phase.name, context=below, start_time=clock.at(phase.start), attributes=about
                )
                span.end(clock.at(phase.end))

    def close(self) -> None:
        """Send the remaining spans, for a bounded time."""
        self._provider.force_flush(FLUSH_MILLISECONDS)
        self._provider.shutdown()


class _Clock:
    """Converts monotonic seconds into nanoseconds since the Unix epoch."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def at(self, monotonic: float) -> int:
        return int(monotonic * _NANO) + self._offset


def _parent(traceparent: str | None) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent or ""})
