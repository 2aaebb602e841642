"""Canary results of the shards, across all their generations.

A shard judges its own canaries; the gateway records the result. Margins are remembered by the
source of the model, so that the next generation of any shard with the same weights can compare its
own with
them: its spec carries the margins of an earlier one.
"""

import time
from dataclasses import dataclass, field, replace

from gateway.supervision.shard_log import ShardLog
from gateway.telemetry.status import CanaryStatus
from shards.wire.messages import Canary
from shards.wire.spec import Remembered, ShardSpec


class CanaryLog:
    """The margins of all shards of a gateway that passed."""

    def __init__(self) -> None:
        self._remembered: dict[str, Remembered] = {}

    def spec_with_baseline(self, spec: ShardSpec) -> ShardSpec:
        """Return the spec with the margins of an earlier generation of its model."""
        return replace(spec, remembered=self._remembered.get(spec.source))

    def record(self, spec: ShardSpec, result: Canary) -> None:
        """Remember the margins of a shard if it may serve."""
        if result.after_load and result.fingerprint and not result.findings:
            remembered = Remembered(result.fingerprint, result.dtype, result.margins)
            self._remembered[spec.source] = remembered


@dataclass(slots=True)
class ShardCanaryLog:
    """The canary results of one shard since the gateway started."""

    spec: ShardSpec
    canaries: CanaryLog
    log: ShardLog
    rounds: int = 0
    failures: int = 0
    last: Canary | None = None
    spread: float | None = None
    at: float = field(default_factory=time.monotonic)

    def spec_with_baseline(self, spec: ShardSpec) -> ShardSpec:
        """Return the spec of a new generation, with the margins of an earlier one."""
        return self.canaries.spec_with_baseline(spec)

    def record(self, result: Canary) -> None:
        """Record the result of a round."""
        for finding in result.findings:
            self.log.error("a canary failed: %s", finding)
        self.canaries.record(self.spec, result)
        self.rounds += 1
        self.failures += bool(result.findings)
        self.last = result
        self.at = time.monotonic()
        if result.after_load:
            self.spread = result.spread[0] if result.spread else None

    def status(self, now: float) -> CanaryStatus | None:
        """Return a snapshot; `None` before the first round."""
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
