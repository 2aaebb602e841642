"""The race of our products against oneDNN's: each shape is timed once a process, the faster serves.

The kernels in C are written for CPUs that are known. On another one oneDNN may have instructions
that they lack, as it had AMX before them. Times are those of one core, of few rows and of many, and
oneDNN must be clearly faster: so noise changes no choice, and the replicas of a model choose alike.
Scores differ within the bounds of the format by the choice; it is part of the facts of a model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch

from shards.engines.layers.timing import core_seconds, one_thread

LEAST_GAIN = 1.25
"""The speed of oneDNN's product over ours, from which on it serves."""

_ROWS = (16, 128)
_OUTPUTS = 512  # of a weight, at most: rates hardly depend on more
_LEAST_SIZE = 1 << 18  # numbers of a weight; smaller ones have no influence on a request
_ROUNDS = 4  # the first one warms up

Product = Callable[[Any], object]
Maker = Callable[[torch.Tensor], Product]
"""Makes a product with a weight, `[outputs, inputs]` in bf16."""


@dataclass(frozen=True, slots=True)
class Race:
    """The result for one shape.

    Attributes:
        gain: the speed of oneDNN's product over ours.
    """

    outputs: int
    inputs: int
    gain: float

    @property
    def is_lost(self) -> bool:
        return self.gain >= LEAST_GAIN

    def __str__(self) -> str:
        return f"{self.outputs} x {self.inputs}"


_races: dict[tuple[str, str, int, int], Race] = {}


def is_lost(
    dtype: str,
    tier: str,
    shape: tuple[int, int],
    ours: Maker,
    onednn: Maker,
    coded: Callable[[torch.Tensor], Any] = lambda states: states,
) -> bool:
    """Return whether oneDNN's product serves for weights of a shape; race once a process.

    Args:
        dtype: the number format.
        tier: the tier of our kernels.
        shape: outputs and inputs.
        ours, onednn: make the two products.
        coded: turns states in bf16 into what both take.
    """
    outputs, inputs = shape
    if outputs * inputs < _LEAST_SIZE:
        return False
    key = (dtype, tier, outputs, inputs)
    if key not in _races:
        _races[key] = Race(outputs, inputs, _gain(shape, ours, onednn, coded))
    return _races[key].is_lost


def _gain(
    shape: tuple[int, int],
    ours: Maker,
    onednn: Maker,
    coded: Callable[[torch.Tensor], Any],
) -> float:
    """Return the geometric mean of the gains of few rows and of many."""
    outputs, inputs = shape
    weight = torch.full((min(outputs, _OUTPUTS), inputs), 1 / inputs, dtype=torch.bfloat16)
    products = [make(weight) for make in (ours, onednn)]
    gains = []
    with one_thread():
        for rows in _ROWS:
            states = coded(torch.full((rows, inputs), 0.5, dtype=torch.bfloat16))
            best = [float("inf")] * 2
            for number in range(_ROUNDS):
                for at, product in enumerate(products):
                    seconds = core_seconds(partial(product, states))
                    best[at] = min(best[at], seconds) if number else best[at]
            gains.append(best[0] / best[1])
    return prod(gains) ** (1 / len(gains))


def results(dtype: str, tier: str) -> list[Race]:
    """Return the races of a format so far."""
    return [race for key, race in _races.items() if key[:2] == (dtype, tier)]


def lost(dtype: str, tier: str) -> tuple[str, ...]:
    """Return the shapes whose products are oneDNN's."""
    return tuple(sorted(str(race) for race in results(dtype, tier) if race.is_lost))


def notes(dtype: str, tier: str) -> Iterator[str]:
    """Yield the line about the races of a format, if there were any."""
    races = results(dtype, tier)
    if not races:
        return
    ours, theirs = ([race for race in races if race.is_lost is is_it] for is_it in (False, True))
    parts = []
    if ours:
        parts.append(f"ours serve for {_listed(ours, lambda gain: 1 / gain)} of oneDNN's speed")
    if theirs:
        parts.append(f"oneDNN's serve for {_listed(theirs, float)} of ours")
    yield f"products in {dtype}, measured: {'; '.join(parts)}"


def _listed(races: list[Race], speed: Callable[[float], float]) -> str:
    return ", ".join(f"{race} with {speed(race.gain):.1f} times" for race in races)
