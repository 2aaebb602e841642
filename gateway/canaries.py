"""What shards say of their canaries, through all their lives.

A shard judges itself; here it is written down. Margins are remembered by the model's source, so that
the next life of any shard with the same weights can be compared with this one: a shard is told, when
it starts, what an earlier one has scored.
"""

import logging
import time
from dataclasses import dataclass, field, replace

from gateway.status import CanaryStatus
from shards.wire.messages import Canary
from shards.wire.spec import Remembered, ShardSpec

_logger = logging.getLogger(__name__)


class Canaries:
    """What all shards of a gateway have said."""

    def __init__(self) -> None:
        self._remembered: dict[str, Remembered] = {}

    def told(self, spec: ShardSpec) -> ShardSpec:
        """Return the spec with what an earlier life of its model has scored."""
        return replace(spec, remembered=self._remembered.get(spec.source))

    def heard(self, spec: ShardSpec, said: Canary) -> None:
        """Log what a shard said, and remember the margins of one that may serve."""
        for finding in said.findings:
            _logger.error("the canary of shard %s failed: %s", spec.name, finding)
        if said.after_load and said.fingerprint and not said.findings:
            remembered = Remembered(said.fingerprint, said.dtype, said.margins)
            self._remembered[spec.source] = remembered


@dataclass(slots=True)
class ShardCanary:
    """What one shard has said, since the gateway started."""

    spec: ShardSpec
    canaries: Canaries
    rounds: int = 0
    failures: int = 0
    last: Canary | None = None
    spread: float | None = None
    at: float = field(default_factory=time.monotonic)

    def told(self, spec: ShardSpec) -> ShardSpec:
        """Return the spec of a new life, with what an earlier one has scored."""
        return self.canaries.told(spec)

    def hear(self, said: Canary) -> None:
        """Note what it says now."""
        self.canaries.heard(self.spec, said)
        self.rounds += 1
        self.failures += bool(said.findings)
        self.last = said
        self.at = time.monotonic()
        if said.after_load:
            self.spread = said.spread[0] if said.spread else None

    def status(self, now: float) -> CanaryStatus | None:
        """Return what there is to know; `None` before the first."""
        if self.last is None:
            return None
        return CanaryStatus(
            mode=self.last.mode,
            passed=not self.last.findings,
            rounds=self.rounds,
            failures=self.failures,
            age_seconds=round(now - self.at, 1),
            milliseconds=round(self.last.microseconds / 1000, 2),
            spread=None if self.spread is None else round(self.spread, 3),
            findings=self.last.findings,
        )
