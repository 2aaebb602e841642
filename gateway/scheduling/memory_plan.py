"""The plan of memory: models to load, to evict, or to let make way. Pure: time is passed in.

Each *pool* (the machine, a GPU) has a budget. A model is loaded when the peak of its load fits
beside what all others hold. If it does not fit, the models that were used least lately are evicted,
as many as are needed and none in vain: only models without work inside, past their minimum stay,
and not fixed. A model that was evicted lately evicts no other before its cooling time has passed.

Models wait in the order in which they were asked for. Room that is made for one is not given to
another. While the first of them waits for models with work, those behind it may take free room, but
evict nothing, and after `patience_seconds` they may not do that either; then the models with work
make way: they finish the requests inside, and new ones wait. So each model has its turn.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["waiting", "loading", "loaded", "leaving"]
Sizes: TypeAlias = Mapping[str, int]
"""Bytes by pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The times that keep models from pushing each other out all the time.

    Attributes:
        stay_seconds: the minimum stay of a model that is ready.
        cool_seconds: the time after its eviction in which a model evicts no other.
        patience_seconds: the wait after which models with work make way.
    """

    stay_seconds: float = 20.0
    cool_seconds: float = 10.0
    patience_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A revision of a model with its memory.

    Attributes:
        name: a name that no other holding has.
        phase: waiting for room, loading, loaded, or leaving: unloaded, and not yet gone.
        sizes: what it holds; while it waits or loads, what its load takes at its peak.
        since: seconds when this phase began.
        last_use: seconds when a request was last inside.
        is_busy: whether a request is inside.
        is_fixed: whether it is never evicted.
        is_kept: whether it is not evicted now, since its next revision is coming.
        beside: the holdings that it has to fit beside, as they go only after it is loaded.
        may_evict: whether others are evicted for it.
        is_guess: whether its sizes are estimates, which count as what there is at most.
        least: what it takes for certain, in spite of a wrong estimate.
        evicted: seconds when it was last evicted.
    """

    name: str
    phase: Phase
    sizes: Sizes
    since: float = 0.0
    last_use: float = 0.0
    is_busy: bool = False
    is_fixed: bool = False
    is_kept: bool = False
    beside: frozenset[str] = frozenset()
    may_evict: bool = True
    is_guess: bool = False
    least: Sizes = field(default_factory=dict)
    evicted: float = -math.inf


@dataclass(frozen=True, slots=True)
class Wait:
    """The reason why a model waits for room.

    Attributes:
        pool: the first pool that lacks room.
        needed: the bytes that its load takes there.
        holders: the names of those that hold the pool.
        at: seconds when there will be room; `None` if that is unknown.
        is_for_ever: whether there is never room, because of the budget or of fixed models.
    """

    pool: str
    needed: int
    holders: tuple[str, ...]
    at: float | None = None
    is_for_ever: bool = False


@dataclass(slots=True)
class Plan:
    """The decisions of one look, by name.

    Attributes:
        loads: the models to load now.
        evictions: the models to unload, because others need their room.
        excess: the models to unload, because more is held than the budget allows.
        yields: the models that let no new request in until those inside have left.
        waits: the models that still wait.
    """

    loads: list[str] = field(default_factory=list)
    evictions: list[str] = field(default_factory=list)
    excess: list[str] = field(default_factory=list)
    yields: set[str] = field(default_factory=set)
    waits: dict[str, Wait] = field(default_factory=dict)


def plan(budgets: Sizes, holdings: Sequence[Holding], now: float, rules: Rules) -> Plan:
    """Return the decisions for these holdings; a pool without budget has room for all."""
    look = _Look(budgets, holdings, now, rules)
    look.evict_excess()
    waiting = [one for one in holdings if one.phase == "waiting"]
    for one in sorted(waiting, key=lambda one: (not one.is_fixed, one.since)):
        look.place(one)
    return look.plan


class _Look:
    """One look at all holdings.

    Attributes:
        plan: the decisions so far.
    """

    def __init__(
        self, budgets: Sizes, holdings: Sequence[Holding], now: float, rules: Rules
    ) -> None:
        self.plan = Plan()
        self._budgets = budgets
        self._holdings = [one for one in holdings if one.phase != "waiting"]
        self._now = now
        self._rules = rules
        self._room = {pool: size - self._held(pool) for pool, size in budgets.items()}
        self._coming = {pool: self._held(pool, phase="leaving") for pool in budgets}
        self._unevicted = sorted(
            (
                one
                for one in self._holdings
                if one.phase == "loaded" and not (one.is_fixed or one.is_kept)
            ),
            key=lambda one: one.last_use,
        )
        self._not_evicting: set[str] = set()  # pools: the first in line waits for models with work
        self._closed: set[str] = set()  # pools: it has waited for long

    def _held(self, pool: str, phase: Phase | None = None) -> int:
        found = (one for one in self._holdings if phase is None or one.phase == phase)
        return sum(one.sizes.get(pool, 0) for one in found)

    def evict_excess(self) -> None:
        """Evict idle models while more is held than the budgets allow, whatever their stay."""
        for one in list(self._unevicted):
            short = {pool for pool in self._budgets if self._room[pool] + self._coming[pool] < 0}
            if not one.is_busy and any(one.sizes.get(pool, 0) for pool in short):
                self.plan.excess.append(one.name)
                self._take_out(one)

    def _take_out(self, one: Holding) -> None:
        self._unevicted.remove(one)
        for pool in self._budgets:
            self._coming[pool] += one.sizes.get(pool, 0)

    def place(self, one: Holding) -> None:
        """Decide about the next model in line."""
        left = {pool: self._left_by_fixed(pool, one.beside) for pool in self._budgets}
        needs = {pool: size for pool, size in one.sizes.items() if pool in self._budgets and size}
        if one.is_guess:
            least = {pool: max(1, one.least.get(pool, 0)) for pool in needs}
            needs = {pool: max(least[pool], min(needs[pool], left[pool])) for pool in needs}
        if too_much := [pool for pool, size in needs.items() if size > left[pool]]:
            self._wait(one, needs, too_much[0], is_for_ever=True)
            return
        short = self._short(needs, self._room)
        closed = [pool for pool in needs if pool in self._closed]
        if not short and not closed:
            self.plan.loads.append(one.name)
            self._reserve(needs)
        elif closed:
            self._wait(one, needs, closed[0])
        elif not self._short(needs, self._with_coming()):
            self._wait(one, needs, short[0], at=self._now)
            self._reserve(needs)
        elif not one.may_evict or self._not_evicting & set(needs):
            self._wait(one, needs, short[0])
        elif self._now < (cold := one.evicted + self._rules.cool_seconds):
            self._wait(one, needs, short[0], at=cold)
        else:
            self._make_room(one, needs, short[0])

    def _left_by_fixed(self, pool: str, beside: frozenset[str]) -> int:
        fixed = (
            one
            for one in self._holdings
            if one.phase == "loaded" and (one.is_fixed or one.name in beside)
        )
        return self._budgets[pool] - sum(one.sizes.get(pool, 0) for one in fixed)

    def _with_coming(self) -> dict[str, int]:
        return {pool: self._room[pool] + self._coming[pool] for pool in self._budgets}

    def _short(self, needs: Sizes, room: Sizes) -> list[str]:
        return [pool for pool, size in needs.items() if size > room[pool]]

    def _reserve(self, needs: Sizes) -> None:
        for pool, size in needs.items():
            self._room[pool] -= size

    def _make_room(self, one: Holding, needs: Sizes, pool: str) -> None:
        """Evict idle models for a waiting one, or let models with work make way."""
        idle = [other for other in self._unevicted if not other.is_busy]
        if (chosen := self._enough(needs, filter(self._has_stayed, idle))) is not None:
            for other in chosen:
                self.plan.evictions.append(other.name)
                self._take_out(other)
            self._wait(one, needs, pool, at=self._now)
            self._reserve(needs)
            return
        by_stay = self._enough(needs, sorted(idle, key=lambda other: other.since))
        at = None
        if by_stay is not None:
            at = max(other.since for other in by_stay) + self._rules.stay_seconds
        self._wait(one, needs, pool, at=at)
        self._not_evicting |= set(needs)
        if self._now - one.since < self._rules.patience_seconds:
            return
        self._closed |= set(needs)
        busy = sorted((o for o in self._unevicted if o.is_busy), key=lambda other: other.since)
        if at is None and (all_ := self._enough(needs, filter(self._has_stayed, [*idle, *busy]))):
            self.plan.yields |= {other.name for other in all_ if other.is_busy}

    def _has_stayed(self, one: Holding) -> bool:
        return self._now - one.since >= self._rules.stay_seconds

    def _enough(self, needs: Sizes, others: Iterable[Holding]) -> list[Holding] | None:
        """Return the first of these whose eviction suffices, and none in vain; `None` if none do.

        Of these, one that is not needed beside later ones is left out.
        """
        chosen: list[Holding] = []
        for other in others:
            if not (short := self._short(needs, self._room_without(chosen))):
                break
            if any(other.sizes.get(pool, 0) for pool in short):
                chosen.append(other)
        if self._short(needs, self._room_without(chosen)):
            return None
        for other in reversed(chosen.copy()):
            rest = [kept for kept in chosen if kept is not other]
            if not self._short(needs, self._room_without(rest)):
                chosen = rest
        return chosen

    def _room_without(self, evicted: Iterable[Holding]) -> dict[str, int]:
        room = self._with_coming()
        for one in evicted:
            for pool in room:
                room[pool] += one.sizes.get(pool, 0)
        return room

    def _wait(
        self,
        one: Holding,
        needs: Sizes,
        pool: str,
        *,
        at: float | None = None,
        is_for_ever: bool = False,
    ) -> None:
        holders = tuple(other.name for other in self._holdings if other.sizes.get(pool))
        self.plan.waits[one.name] = Wait(pool, needs[pool], holders, at, is_for_ever)
