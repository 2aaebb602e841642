"""The memory budget in `/status`: what each pool has, and what holds it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderStatus:
    """A model in a pool.

    `phase` is `loading`, `loaded`, `leaving` (unloaded, its processes end) or `waiting`. `bytes`
    are what it holds; of a load, begun or waiting, its expected peak. An idle model that is
    `fixed` is never unloaded for another.
    """

    model: str
    phase: str
    bytes: int
    busy: bool
    fixed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """A pool of memory with a budget: the `machine`, or a GPU by the name of its device.

    `held_bytes` are those of all models that are loaded, loading or leaving.
    """

    pool: str
    budget_bytes: int
    held_bytes: int
    holders: tuple[HolderStatus, ...]
