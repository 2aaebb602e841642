"""A revision of a model in the memory for all models: it waits for room, and makes way."""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from gateway.config import ModelSpec
from gateway.domain.errors import GatewayError
from gateway.scheduling.admission import never_fits, waiting_for_room
from gateway.scheduling.memory_plan import Holding, Phase, Sizes, Wait
from gateway.scheduling.memory_sizes import MemorySizes
from gateway.scheduling.presence import Presence
from gateway.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from gateway.scheduling.memory_room import Room

_logger = logging.getLogger(__name__)

_KEEP_SECONDS = 30.0
"""The time for which a model without requests keeps its place in line, for those told to retry."""


class Shards(Protocol):
    """The shards of a model, as a room uses them."""

    def __iter__(self) -> Iterator[Supervisor]: ...

    def load(self) -> None:
        """Start them."""

    def unload(self) -> None:
        """End them."""


class Loadable(Protocol):
    """A revision of a model, as a room uses it."""

    spec: ModelSpec
    presence: Presence
    is_draining: bool

    @property
    def replicas(self) -> Shards:
        """Its shards."""

    @property
    def is_empty(self) -> bool:
        """True if no request is inside."""


class Occupant:
    """A revision of a model in the room.

    Attributes:
        name: a name of its own.
        model: the revision.
        wait: the reason why it waits for room, if it does.
        makes_way: whether new requests wait until those inside have left and it is evicted.
        held_back: the number of requests that wait for that.
        evictions: the number of its evictions by reason.
        waits, wait_seconds: the loads that had to wait for room, and their time.
    """

    def __init__(self, room: "Room", model: Loadable, revision: int) -> None:
        self.name = f"{model.spec.name}#{revision}"
        self.model = model
        self.wait: Wait | None = None
        self.makes_way = False
        self.held_back = 0
        self.evictions: Counter[str] = Counter()
        self.waits = 0
        self.wait_seconds = 0.0
        self.may_evict = True
        self.evicted = -math.inf
        self._room = room
        self._asked: float | None = None
        self._open = asyncio.Event()

    @property
    def waits_since(self) -> float | None:
        """Seconds when it asked for the room for which it waits; `None` if it does not."""
        return self._asked if self.model.presence.is_wanted else None

    def ask(self, now: float, *, may_evict: bool = True) -> None:
        """Load the model as soon as there is room; at once if there is."""
        self._asked, self.may_evict, self.wait = now, may_evict, None
        if not self._room.has_budget:
            self.load(now)
            return
        self._room.look()
        if self.waits_since is not None and not may_evict:
            self.withdraw("it is not to evict others")
        elif self.wait is not None:
            self.waits += 1
            _logger.info("model waits for room: %s", self.reason(), extra=self._field)

    def load(self, now: float) -> None:
        """Load the model."""
        if self._asked is not None:
            self.wait_seconds += now - self._asked
        self._asked = self.wait = None
        self.model.presence.begin_load(now)
        self.model.replicas.load()

    def withdraw(self, why: str) -> None:
        """Give up the place in line."""
        _logger.info("model waits for room no longer: %s", why, extra=self._field)
        self._asked = self.wait = None
        self.model.presence.withdraw()

    def evict(self, now: float, reason: str, why: str) -> None:
        """Unload the model, which is empty."""
        self.evicted = now
        self.evictions[reason] += 1
        _logger.info("model is evicted: %s", why, extra=self._field)
        self.model.presence.leave()
        self.model.replicas.unload()

    def set_wait(self, wait: Wait | None, *, makes_way: bool) -> None:
        """Note the result of a look."""
        self.wait = wait
        if makes_way and not self.makes_way:
            _logger.info("model makes way for another one: new requests wait", extra=self._field)
            self._open = asyncio.Event()
        self.makes_way = makes_way
        if not makes_way:
            self._open.set()

    async def turn(self) -> None:
        """Let a request that has entered wait while the model makes way for another one."""
        self.held_back += 1
        try:
            while self.makes_way:
                await self._open.wait()
        finally:
            self.held_back -= 1

    def reason(self) -> str:
        """Return why it waits for room, in words for its operator; empty if it does not."""
        return self._room.reason(self.wait) if self.wait else ""

    def refusal(self, now: float, remaining_seconds: float) -> GatewayError | None:
        """Return why a request that allows so many seconds cannot wait for room, if it cannot."""
        if self.wait is None:
            return None
        name, budget = self.model.spec.name, self._room.budgets()[self.wait.pool]
        if self.wait.is_for_ever:
            return never_fits(name, self.wait.pool, self.wait.needed, budget, self.reason())
        if self.wait.at is None:
            return None
        seconds = max(0.0, self.wait.at - now) + self.model.presence.load_seconds
        if seconds <= remaining_seconds:
            return None
        return self._waiting(seconds)

    def too_late(self) -> GatewayError | None:
        """Return the error of a request whose time ended while the model waited for room."""
        if self.wait is None:
            return None
        rules = self._room.rules
        return self._waiting(rules.patience_seconds + self.model.presence.load_seconds)

    def _waiting(self, seconds: float) -> GatewayError:
        assert self.wait is not None
        budget = self._room.budgets()[self.wait.pool]
        others = len(self.wait.holders)
        return waiting_for_room(
            self.model.spec.name, self.wait.pool, self.wait.needed, budget, others, seconds,
            self.reason(),
        )  # fmt: skip

    def is_abandoned(self, now: float) -> bool:
        """Return whether no request needs its room, now and for a while, or there is never any."""
        model = self.model
        if model.spec.stays_loaded or not model.is_empty:
            return False
        is_for_ever = self.wait is not None and self.wait.is_for_ever
        return is_for_ever or now - model.presence.last_use >= _KEEP_SECONDS

    @property
    def phase(self) -> Phase | None:
        """Its phase; `None` while it is not wanted and holds nothing."""
        presence, has_process = self.model.presence, self._has_process
        if self.waits_since is not None:
            return "waiting"
        if not presence.is_wanted or self.model.is_draining:
            return "leaving" if has_process else None
        return "loading" if presence.is_loading else "loaded"

    @property
    def _has_process(self) -> bool:
        return any(shard.pid is not None for shard in self.model.replicas)

    def holdings(self, sizes: MemorySizes, beside: frozenset[str]) -> Iterator[Holding]:
        """Yield what it holds, and what it waits for.

        Args:
            sizes: the memory of shards.
            beside: other revisions of the model, one of which is coming.
        """
        model, presence, phase = self.model, self.model.presence, self.phase
        if phase is None:
            return
        if phase == "waiting" and self._has_process:
            yield Holding(name=f"{self.name} (leaving)", phase="leaving", sizes=self._held(sizes))
        need = sizes.need(model.spec) if phase == "waiting" else None
        yield Holding(
            name=self.name,
            phase=phase,
            sizes=need.sizes if need else self._held(sizes),
            since=self.waits_since if self.waits_since is not None else presence.loaded_since,
            last_use=presence.last_use,
            is_busy=not model.is_empty,
            is_fixed=model.spec.stays_loaded,
            is_kept=bool(beside),
            beside=beside,
            may_evict=self.may_evict,
            is_guess=bool(need and need.is_guess),
            least=need.least if need else {},
            evicted=self.evicted,
        )

    def _held(self, sizes: MemorySizes) -> Sizes:
        return sizes.held(self.model.spec, self.model.replicas)

    @property
    def _field(self) -> dict[str, str]:
        return {"model": self.model.spec.name}
