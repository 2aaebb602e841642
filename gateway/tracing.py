"""Spans for OpenTelemetry, where that is wanted: `tracing = true` and the extra `otel`.

Where they go is said by the variables that every OpenTelemetry program reads (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ...). A request is one server span; below it are, per job, the
stretches of its time. Spans are made when the request is over, from times that are noted anyway, and
sent by a thread of the SDK with a bounded queue: what cannot be sent is dropped, nothing waits for it.
No text of a request is in them.
"""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.timeline import Timeline, spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "rerank-gateway"
FLUSH_MILLISECONDS = 2000
_SERVER_ERRORS = 500
_NANO = 1e9


class TracingUnavailable(Exception):
    """Tracing was asked for and cannot be had; says what to install."""


class Tracing:
    """Sends spans."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("gateway")

    @classmethod
    def from_environment(cls) -> "Tracing":
        """Return one that sends where the environment says, by OTLP over HTTP.

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
        return cls(provider)

    def request_finished(
        self,
        *,
        started: float,
        now: float,
        traceparent: str | None,
        timeline: Timeline,
        code: int,
        attributes: Mapping[str, str | int],
    ) -> None:
        """Send the spans of a request that took from `started` to `now`, monotonic seconds."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        clock = _Clock()
        server = self._tracer.start_span(
            "rerank",
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
            for one in spans(job):
                span = self._tracer.start_span(
                    one.name, context=below, start_time=clock.at(one.start), attributes=about
                )
                span.end(clock.at(one.end))

    def close(self) -> None:
        """Send what is left, for a bounded time."""
        self._provider.force_flush(FLUSH_MILLISECONDS)
        self._provider.shutdown()


class _Clock:
    """Turns monotonic seconds into nanoseconds since the Unix epoch."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def at(self, monotonic: float) -> int:
        return int(monotonic * _NANO) + self._offset


def _parent(traceparent: str | None) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent or ""})
