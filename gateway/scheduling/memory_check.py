"""The check of a configuration against its memory budget, before any model is loaded.

Only what a model takes for certain counts here: measured or stated figures, or its weights in the
narrowest format that is allowed. An estimate decides about the order of loads, and refuses nothing.
"""

from collections.abc import Iterator, Sequence

from gateway.config import ConfigError, ModelSpec, Problem
from gateway.scheduling.memory_room import Room


def refuse_too_large(room: Room, specs: Sequence[ModelSpec]) -> None:
    """Refuse models that can never be loaded within the budget.

    Raises:
        ConfigError: each problem has the figures.
    """
    if room.has_budget and (problems := list(_problems(room, specs))):
        raise ConfigError(problems)


def _problems(room: Room, specs: Sequence[ModelSpec]) -> Iterator[Problem]:
    least = {spec.name: room.sizes.need(spec).least for spec in specs}
    stay = [spec.name for spec in specs if spec.stays_loaded]
    for pool, budget in room.budgets(specs).items():
        fixed = sum(least[name].get(pool, 0) for name in stay)
        if fixed > budget:
            yield Problem(
                path=("memory_budget",),
                message=f"the models that stay loaded ({', '.join(stay)}) take at least "
                f"{fixed >> 20} MiB, and the {pool} has {budget >> 20} MiB for them",
                remedy="Raise the budget, or let models be idle (load, idle_seconds)",
            )
            continue
        for spec in specs:
            needed = least[spec.name].get(pool, 0)
            if not spec.stays_loaded and needed + fixed > budget:
                yield Problem(
                    path=("models", spec.name),
                    message=f"it takes at least {needed >> 20} MiB, and the {pool} has "
                    f"{(budget - fixed) >> 20} MiB of {budget >> 20} MiB beside the models that "
                    "stay loaded (memory_budget)",
                    remedy="Raise the budget, let those be idle (idle_seconds), or use a smaller "
                    "dtype",
                )
