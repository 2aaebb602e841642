"""The plan of a chaos run: faults and their times. Pure: the same seed gives the same plan.

Shards are killed, stopped for good, stopped and continued, or ended by SIGSEGV. Poisonous texts
come alone the first time, later also in bursts of copies from several clients at once. A shard
ended by SIGSEGV looks as if its jobs had caused it, so the plan leaves time between two such faults
to clear its innocent jobs: a second fault would be indistinguishable from a poison. Shards are also
starved of CPU time, the configuration is reloaded, and the files of the model are replaced: one
replica is killed, and a reload moves all of them to the new files.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

POISONS = ("a <<exit 41>> text", "a <<exit 42>> text", "a <<exit 43>> text")
"""Texts that end their shard, each with its own exit code, by which its deaths are counted."""

POISON_CODES = (41, 42, 43)
BURST = 6
"""The copies of a poison in a burst."""

_MEAN_SECONDS = 1.6
_BETWEEN_CRASHES_SECONDS = 8.0


class FaultKind(Enum):
    """A kind of fault."""

    KILL = "SIGKILL"
    STOP = "SIGSTOP"
    PAUSE = "SIGSTOP, SIGCONT"
    CRASH = "SIGSEGV"
    POISON = "poison"
    BURST = "poison burst"
    STARVE = "starvation"
    RELOAD = "reload"
    REPLACE = "replace and kill"


_WEIGHTS = {
    FaultKind.KILL: 10,
    FaultKind.STOP: 4,
    FaultKind.PAUSE: 5,
    FaultKind.CRASH: 2,
    FaultKind.POISON: 2,
    FaultKind.BURST: 1,
    FaultKind.STARVE: 1,
    FaultKind.RELOAD: 1,
    FaultKind.REPLACE: 1,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a plan.

    Attributes:
        at: seconds after the start of the run.
        kind: its kind.
        victim: the number of the shard, or of the poison, modulo their number.
        seconds: the length of a pause or of a starvation.
    """

    at: float
    kind: FaultKind
    victim: int
    seconds: float = 0.0


def plan(seed: int, seconds: float) -> list[Fault]:
    """Return the faults of a run, in order; every poison comes at least once."""
    chance = random.Random(seed)
    faults = [
        Fault(chance.uniform(0.1, 0.8) * seconds, FaultKind.POISON, victim)
        for victim in range(len(POISONS))
    ]
    at, crashed = 0.0, -_BETWEEN_CRASHES_SECONDS
    while (at := at + chance.uniform(0.2, 1.8) * _MEAN_SECONDS) < seconds:
        (kind,) = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        if kind is FaultKind.CRASH and at - crashed < _BETWEEN_CRASHES_SECONDS:
            kind = FaultKind.KILL
        if kind is FaultKind.CRASH:
            crashed = at
        faults.append(Fault(at, kind, chance.randrange(64), chance.uniform(0.1, 2.5)))
    return list(_alone_first(sorted(faults, key=lambda fault: fault.at)))


def _alone_first(faults: Iterable[Fault]) -> Iterator[Fault]:
    known: set[int] = set()
    for fault in faults:
        poison = fault.victim % len(POISONS)
        if fault.kind is FaultKind.BURST and poison not in known:
            fault = replace(fault, kind=FaultKind.POISON)
        if fault.kind is FaultKind.POISON:
            known.add(poison)
        yield fault
