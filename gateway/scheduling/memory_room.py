"""The room for models in memory: they are loaded when they fit, and others are evicted for them.

`memory_plan` decides, `memory_sizes` has the figures; here the decisions are carried out. A look is
taken when a model asks for room, soon after something has changed while one waits, and twice a
second. Without a budget each model is loaded at once.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from weakref import WeakSet

from gateway.config import ModelSpec
from gateway.scheduling.memory_occupant import Loadable, Occupant
from gateway.scheduling.memory_plan import Holding, Rules, Wait, plan
from gateway.scheduling.memory_sizes import MACHINE, MemorySizes
from gateway.telemetry.memory_status import HolderStatus, PoolStatus

_logger = logging.getLogger(__name__)

_LOOK_SOON_SECONDS = 0.02
FOR_ROOM, FOR_EXCESS = "room", "excess"
"""The reasons of evictions: another model needs the room, or more is held than there is."""


class Room:
    """The memory for all models of a gateway.

    Attributes:
        rules: the times of stays and waits.
        sizes: the memory of shards.
    """

    def __init__(
        self, machine_bytes: int = 0, gpu_bytes: int = 0, rules: Rules | None = None
    ) -> None:
        self.rules = rules or Rules()
        self.sizes = MemorySizes()
        self._machine_bytes = machine_bytes
        self._gpu_bytes = gpu_bytes
        self._occupants: WeakSet[Occupant] = WeakSet()
        self._looking = False
        self._soon: asyncio.TimerHandle | None = None

    @property
    def has_budget(self) -> bool:
        """True if a pool has a budget."""
        return bool(self._machine_bytes or self._gpu_bytes)

    def budgets(self, specs: Iterable[ModelSpec] | None = None) -> dict[str, int]:
        """Return the budget of each pool that has one, for models; `None` for those there are."""
        found = {MACHINE: self._machine_bytes} if self._machine_bytes else {}
        if self._gpu_bytes:
            if specs is None:
                specs = [one.model.spec for one in self._occupants]
            devices = (shard.device for spec in specs for shard in spec.shards)
            found |= {name: self._gpu_bytes for name in devices if name.startswith("cuda")}
        return found

    def occupant(self, model: Loadable, revision: int) -> Occupant:
        """Return the place of a revision in the room."""
        occupant = Occupant(self, model, revision)
        self._occupants.add(occupant)
        return occupant

    def look_soon(self) -> None:
        """Look in a moment, if a model waits for room."""
        if not self.has_budget or self._soon is not None:
            return
        if any(one.waits_since is not None for one in self._occupants):
            loop = asyncio.get_running_loop()
            self._soon = loop.call_later(_LOOK_SOON_SECONDS, self.look)

    def look(self) -> None:
        """Load the models for which there is room, and evict those that others need it from."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if not self.has_budget or self._looking:
            return
        self._looking = True
        try:
            self._carry_out(time.monotonic())
        finally:
            self._looking = False

    def _carry_out(self, now: float) -> None:
        occupants = {one.name: one for one in sorted(self._occupants, key=lambda one: one.name)}
        for one in occupants.values():
            for shard in one.model.replicas:
                self.sizes.measure(shard)
            if one.waits_since is not None and one.is_abandoned(now):
                one.withdraw("no request needs it")
        found = plan(self.budgets(), self.holdings(), now, self.rules)
        for name, one in occupants.items():
            one.set_wait(found.waits.get(name), makes_way=name in found.yields)
        for name in found.evictions:
            occupants[name].evict(now, FOR_ROOM, "another model needs its memory")
        for name in found.excess:
            occupants[name].evict(now, FOR_EXCESS, "the models hold more than memory_budget")
        for name in found.loads:
            occupants[name].load(now)

    def holdings(self) -> Sequence[Holding]:
        """Return what all models hold, and what they wait for."""
        present = [one for one in self._occupants if one.phase in ("waiting", "loading", "loaded")]
        several: dict[str, set[str]] = {}
        for one in present:
            several.setdefault(one.model.spec.name, set()).add(one.name)
        return [
            holding
            for one in sorted(self._occupants, key=lambda one: one.name)
            for holding in one.holdings(
                self.sizes, frozenset(several.get(one.model.spec.name, set()) - {one.name})
            )
        ]

    def status(self) -> tuple[PoolStatus, ...]:
        """Return a snapshot of each pool that has a budget."""
        if not self.has_budget:
            return ()
        names = {one.name: one.model.spec.name for one in self._occupants}
        found = self.holdings()
        return tuple(
            PoolStatus(
                pool=pool,
                budget_bytes=budget,
                held_bytes=sum(h.sizes.get(pool, 0) for h in found if h.phase != "waiting"),
                holders=tuple(
                    HolderStatus(
                        model=names.get(holding.name, holding.name),
                        phase=holding.phase,
                        bytes=holding.sizes.get(pool, 0),
                        busy=holding.is_busy,
                        fixed=holding.is_fixed,
                    )
                    for holding in found
                    if holding.sizes.get(pool)
                ),
            )
            for pool, budget in self.budgets().items()
        )

    def reason(self, wait: Wait) -> str:
        """Return why a model waits, in words for its operator."""
        names = {one.name: one.model.spec.name for one in self._occupants}
        holders = ", ".join(sorted({names.get(name, name) for name in wait.holders})) or "none"
        budget = self.budgets()[wait.pool]
        return (
            f"it needs {_mib(wait.needed)} of the {wait.pool}'s {_mib(budget)} (memory_budget), "
            f"held by: {holders}"
        )


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
