"""What happens in a chaos run, and when. Pure: the same seed gives the same plan.

Blows fall on the shards: killed, stopped for good, stopped and continued, ended by SIGSEGV. Poison
texts come alone the first time, later also in bursts of copies from several clients at once. A shard
ended by SIGSEGV looks as if its jobs had done it, so between two such blows there is the time that
its innocent jobs need to be cleared: nobody could tell a second one from a poison.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

POISONS = ("a <<exit 41>> text", "a <<exit 42>> text", "a <<exit 43>> text")
"""Texts that end their shard, each with an exit code of its own, so that its deaths can be counted."""

POISON_CODES = (41, 42, 43)
BURST = 6
"""How many copies of a poison come at once in a burst."""

_MEAN_SECONDS = 1.6
_BETWEEN_CRASHES_SECONDS = 8.0


class Act(Enum):
    """What is done."""

    KILL = "SIGKILL"
    STOP = "SIGSTOP"
    PAUSE = "SIGSTOP, SIGCONT"
    CRASH = "SIGSEGV"
    POISON = "poison"
    BURST = "poison burst"


_WEIGHTS = {
    Act.KILL: 10,
    Act.STOP: 4,
    Act.PAUSE: 5,
    Act.CRASH: 2,
    Act.POISON: 2,
    Act.BURST: 1,
}


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that is done to the gateway.

    Attributes:
        at: seconds after the start of the run.
        act: what is done.
        victim: which shard, or which poison; the last ones count again from the first.
        seconds: for a pause, how long it lasts.
    """

    at: float
    act: Act
    victim: int
    seconds: float = 0.0


def plan(seed: int, seconds: float) -> list[Blow]:
    """Return the blows of a run of so many seconds, in order; every poison comes at least once."""
    chance = random.Random(seed)
    blows = [
        Blow(chance.uniform(0.1, 0.8) * seconds, Act.POISON, victim)
        for victim in range(len(POISONS))
    ]
    at, crashed = 0.0, -_BETWEEN_CRASHES_SECONDS
    while (at := at + chance.uniform(0.2, 1.8) * _MEAN_SECONDS) < seconds:
        (act,) = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        if act is Act.CRASH and at - crashed < _BETWEEN_CRASHES_SECONDS:
            act = Act.KILL
        if act is Act.CRASH:
            crashed = at
        blows.append(Blow(at, act, chance.randrange(64), chance.uniform(0.1, 2.5)))
    return list(_alone_first(sorted(blows, key=lambda blow: blow.at)))


def _alone_first(blows: Iterable[Blow]) -> Iterator[Blow]:
    known: set[int] = set()
    for blow in blows:
        poison = blow.victim % len(POISONS)
        if blow.act is Act.BURST and poison not in known:
            blow = replace(blow, act=Act.POISON)
        if blow.act is Act.POISON:
            known.add(poison)
        yield blow
