"""A machine whose models are loaded and evicted by the plan of memory, in simulated time.

A request waits while its model waits for room or loads, and then takes its time; all requests
inside a model run at once. New requests wait while their model makes way, as in the gateway.
"""

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.scheduling.memory_plan import Holding, Phase, Plan, Rules, plan

LOOK_SECONDS = 0.5
_LEAVE_SECONDS = 0.2
_IDLE: Phase | None = None


@dataclass(slots=True)
class Kind:
    """A model: the peak of its load, what it holds when it is loaded, and the time of a load."""

    peak: int
    resident: int
    load_seconds: float
    is_fixed: bool = False


@dataclass(slots=True)
class Machine:
    """The machine, with the counts of a run.

    Attributes:
        waits: the time of each answered request from its arrival to its start.
        most_held: the most bytes that were held at any time.
    """

    budget: int
    kinds: Mapping[str, Kind]
    rules: Rules
    now: float = 0.0
    loads: Counter[str] = field(default_factory=Counter)
    evictions: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    most_held: int = 0
    evicted_busy: int = 0
    phase: dict[str, Phase | None] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    last_use: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)
    evicted: dict[str, float] = field(default_factory=dict)
    yields: set[str] = field(default_factory=set)
    queues: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _events: list[tuple[float, int, str, str, float]] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _look_at: float = math.inf

    def run(self, requests: Iterable[tuple[float, str, float]]) -> None:
        """Answer requests: the time of arrival, in order; the model; the time inside."""
        self.phase = dict.fromkeys(self.kinds, _IDLE)
        for name, kind in self.kinds.items():
            if kind.is_fixed:
                self._ask(name)
        self._look()
        for time, name, seconds in requests:
            self._until(time)
            self._event(time, "arrive", name, seconds)
        self._until(math.inf)

    def _event(self, time: float, what: str, name: str, seconds: float = 0.0) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), what, name, seconds))

    def _until(self, time: float) -> None:
        while self._events and self._events[0][0] < time:
            self.now, _, what, name, seconds = heapq.heappop(self._events)
            getattr(self, f"_{what}")(name, seconds)
            self._look()

    def _arrive(self, name: str, seconds: float) -> None:
        self.queues.setdefault(name, []).append((self.now, seconds))
        self._ask(name)

    def _ask(self, name: str) -> None:
        if self.phase[name] is _IDLE:
            self._enter(name, "waiting")

    def _finish(self, name: str, _: float) -> None:
        self.inside[name] -= 1
        self.last_use[name] = self.now  # type: ignore[assignment]

    def _ready(self, name: str, _: float) -> None:
        self._enter(name, "loaded")

    def _gone(self, name: str, _: float) -> None:
        self.phase[name] = _IDLE
        if self.queues.get(name):
            self._ask(name)

    def _tick(self, _name: str, _: float) -> None:
        self._look_at = math.inf

    def _enter(self, name: str, phase: Phase) -> None:
        self.phase[name], self.since[name] = phase, self.now

    def _start_requests(self, name: str) -> None:
        if self.phase[name] != "loaded" or name in self.yields:
            return
        for arrived, seconds in self.queues.pop(name, ()):
            self.waits.append(self.now - arrived)
            self.inside[name] += 1
            self._event(self.now + seconds, "finish", name)

    def _holding(self, name: str, phase: Phase) -> Holding:
        kind = self.kinds[name]
        size = kind.peak if phase in ("waiting", "loading") else kind.resident
        return Holding(
            name=name,
            phase=phase,
            sizes={"machine": size},
            since=self.since[name],
            last_use=self.last_use[name],
            is_busy=self.inside[name] > 0,
            is_fixed=kind.is_fixed,
            evicted=self.evicted.get(name, -math.inf),
        )

    def _look(self) -> None:
        for name in self.kinds:
            self._start_requests(name)
        found = self._plan()
        self.yields = found.yields
        for name in found.evictions + found.excess:
            self.evicted_busy += self.inside[name]
            self.evictions[name] += 1
            self.evicted[name] = self.now
            self._enter(name, "leaving")
            self._event(self.now + _LEAVE_SECONDS, "gone", name)
        for name in found.loads:
            self.loads[name] += 1
            self._enter(name, "loading")
            self._event(self.now + self.kinds[name].load_seconds, "ready", name)
        held = sum(sum(one.sizes.values()) for one in self.holdings() if one.phase != "waiting")
        self.most_held = max(self.most_held, held)
        for name in self.kinds:  # those whose model need not make way any more
            self._start_requests(name)
        if found.waits and self._look_at == math.inf:
            self._look_at = self.now + LOOK_SECONDS
            self._event(self._look_at, "tick", "")

    def holdings(self) -> list[Holding]:
        return [self._holding(name, phase) for name, phase in self.phase.items() if phase]

    def _plan(self) -> Plan:
        return plan({"machine": self.budget}, self.holdings(), self.now, self.rules)
