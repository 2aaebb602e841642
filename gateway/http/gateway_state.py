"""The parts of a running gateway that its endpoints, its lifespan and its watchdog share."""

import time
from dataclasses import dataclass, field

from gateway.dialects import Limits
from gateway.http.keys import Gate
from gateway.serving.fleet import Fleet
from gateway.serving.reload import Reloads
from gateway.serving.score_cache.score_cache import ScoreCache
from gateway.serving.shadow_traffic import Shadows
from gateway.telemetry.history import History
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request_log import RequestLog
from gateway.telemetry.tracing import Tracing


@dataclass(slots=True, kw_only=True)
class GatewayState:
    """A running gateway; `app.state.gateway` of the application.

    Attributes:
        gate: authenticates requests.
        requests: counts and times of rerank requests by model.
        history: their figures since the start, step by step.
        tracing: sends spans, where tracing is configured.
        limits: the limits of one request.
        connections: the most connections at a time.
        ready_when_idle: whether models that are not loaded count as ready.
        leaving: set at the start of a shutdown: requests are still served, but `/readyz` asks load
            balancers to send theirs elsewhere.
        stopping: set once new requests are refused; those in progress go on.
        warnings: settings without effect, for the status.
        started: `time.monotonic()` seconds.
        created: seconds since the Unix epoch, as the list of models shows them.
    """

    fleet: Fleet
    reloads: Reloads
    shadows: Shadows
    score_cache: ScoreCache
    gate: Gate
    metrics: Metrics
    limits: Limits
    connections: int
    requests: RequestLog = field(default_factory=RequestLog)
    history: History = field(default_factory=lambda: History(time.monotonic()))
    tracing: Tracing | None = None
    ready_when_idle: bool = True
    warnings: tuple[str, ...] = ()
    leaving: bool = False
    stopping: bool = False
    started: float = field(default_factory=time.monotonic)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def is_ending(self) -> bool:
        """True from the start of a shutdown on."""
        return self.leaving or self.stopping

    def leave(self) -> None:
        """Start a shutdown: `/readyz` reports that the gateway is not ready."""
        self.leaving = True
