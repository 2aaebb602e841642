"""The resources and the result of a chaos run."""

import signal
from collections import Counter
from dataclasses import dataclass, field

import psutil

from tests.system.chaos_ledger import INNOCENT, LOST, Row
from tests.system.chaos_plan import FaultKind
from tests.system.running import Gateway, shared_memory

SIGNALS = {
    FaultKind.KILL: signal.SIGKILL,
    FaultKind.STOP: signal.SIGSTOP,
    FaultKind.PAUSE: signal.SIGSTOP,
    FaultKind.CRASH: signal.SIGSEGV,
}
"""The signal of each fault that is one."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The resources of the gateway at rest, less the connections that this process holds open."""

    processes: int
    descriptors: int
    shared_memory: frozenset[str]
    memory_bytes: int

    def is_within(self, before: "Baseline") -> bool:
        """Return whether nothing is left over beside what was there before."""
        return (
            self.processes == before.processes
            and self.descriptors <= before.descriptors
            and self.shared_memory <= before.shared_memory
        )

    @classmethod
    def of(cls, gateway: Gateway) -> "Baseline":
        process = psutil.Process(gateway.process.pid)
        return cls(
            processes=len(gateway.shard_processes),
            descriptors=gateway.descriptors,
            shared_memory=shared_memory(),
            memory_bytes=process.memory_info().rss,
        )


@dataclass(slots=True)
class Report:
    """The result of a run; `problems` is empty if every invariant held."""

    seed: int
    seconds: float = 0.0
    stalled_seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    faults: Counter[FaultKind] = field(default_factory=Counter)
    missed: int = 0
    restarts: int = 0
    redis_ends: int = 0
    sources: Counter[str] = field(default_factory=Counter)  # of the scores, over all reloads
    deaths: Counter[str] = field(default_factory=Counter)
    poison_deaths: dict[str, int] = field(default_factory=dict)
    before: Baseline | None = None
    after: Baseline | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def kills_and_stops(self) -> int:
        return sum(self.faults[kind] for kind in SIGNALS)

    @property
    def lost(self) -> int:
        return sum(row.outcome == LOST for row in self.rows)

    @property
    def innocents_failed(self) -> int:
        return sum(row.kind in INNOCENT and not row.is_allowed for row in self.rows)

    def seconds_at(self, share: float) -> float:
        """Return a quantile of the times of innocent requests."""
        times = sorted(row.seconds for row in self.rows if row.kind in INNOCENT)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0
