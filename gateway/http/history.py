"""The history in `/status?history=`, and the looks at the queues that it is made of."""

import asyncio
import time
from collections.abc import Mapping

from gateway.domain.errors import InvalidRequest, NotFound
from gateway.http.gateway_state import GatewayState
from gateway.telemetry.history import MOST_NAMES, RANGES
from gateway.telemetry.history_figures import HistoryFigures

_LOOK_SECONDS = 1.0
_SHOWN = 100


async def look_at_jobs(state: GatewayState) -> None:
    """Count the jobs of each model every second, until it is cancelled."""
    while True:
        jobs = {model.spec.name: model.jobs for model in state.fleet.models}
        state.history.look(jobs, time.monotonic())
        await asyncio.sleep(_LOOK_SECONDS)


def history_of(state: GatewayState, query: Mapping[str, str]) -> HistoryFigures | None:
    """Return the history that a query asks for, if it does.

    Raises:
        InvalidRequest: there is no such range, or a model without a range.
        UnknownModel: no model has this name.
        NotFound: the name has no history.
    """
    length, name = query.get("history"), query.get("model")
    if length is None and name is None:
        return None
    if length not in RANGES:
        sent = "is missing" if length is None else f"is {length[:_SHOWN]!r}"
        ranges = " or ".join(f"{each} (steps of {RANGES[each].step_seconds} s)" for each in RANGES)
        raise InvalidRequest(f"the query parameter history {sent}: send {ranges}", param="history")
    kept = None if name is None else _name(state, name)
    return state.history.figures(length, name=kept, now=time.monotonic(), unix=time.time())


def _name(state: GatewayState, name: str) -> str:
    """Return the name under which requests of a model, alias or cascade are counted."""
    names = state.history.names
    if name in names:
        return name
    several = state.fleet.split(name) or state.fleet.cascade(name)
    if several is None and (public := state.fleet.resolve(name)) in names:
        return public
    raise NotFound(
        f"{name[:_SHOWN]!r} has no history: requests of a split count for its models, a cascade "
        f"has one from its first request on, and at most {MOST_NAMES} names have one; these do: "
        f"{', '.join(names)}",
        param="model",
    )
