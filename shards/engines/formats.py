"""Whether int8 serves: where it is faster here, and says the same as bf16.

`auto` never chooses int8, for it changes scores: it measures it and says what it would bring. Where
int8 is asked for, the model is made in bf16 as well, both score the known pairs, and one of them
stays. An operator who knows better (random weights have no order to agree on) can have int8 anyway.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from shards.engines import varlen
from shards.engines.agreement import compare, disagreement
from shards.engines.elementwise import steps_for
from shards.engines.int8 import int8_works
from shards.engines.linears import FORMATS, pack
from shards.heap import give_back
from shards.native.library import found_kernels
from shards.native.rows import Rows
from shards.refusal import Report

INSTEAD = "bf16 is used; `int8_anyway = true` serves int8 all the same"

_LEAST_GAIN = 1.15
_ROWS = 256
_ROUNDS = 3
_NOT_TAKEN = "this kind of model has no int8 form: bf16 is used"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """What serves, and what the operator should know of the choice.

    Attributes:
        made: the model in the format that was chosen.
        dtype: its name.
        notes: what was measured.
        warnings: why it is not the format that was asked for.
    """

    made: T
    dtype: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def int8_gain(hidden_size: int, intermediate_size: int) -> float:
    """Return how many times as fast as bf16 a feed-forward block is in int8; 0 if it cannot be."""
    if not int8_works():
        return 0.0
    blocks = [_block(dtype, hidden_size, intermediate_size) for dtype in ("bf16", "int8")]
    states = torch.full((_ROWS, hidden_size), 0.5, dtype=torch.bfloat16)
    best = [float("inf")] * 2
    with _one_thread():
        for _ in range(_ROUNDS + 1):  # in turn; the first one warms up
            for at, block in enumerate(blocks):
                best[at] = min(best[at], _seconds(block, states))
    return best[0] / best[1]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: several wait for each other where others are busy on their cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _block(dtype: str, hidden: int, inner: int) -> Callable[[torch.Tensor], Rows]:
    """Return a feed-forward block with the steps between its products that a decoder takes."""
    weight = torch.full((2 * inner, hidden), 1 / hidden)
    gate_up: Any = pack(weight, None, dtype, "cpu")
    down: Any = pack(weight.view(hidden, -1)[:, :inner], None, dtype, "cpu")
    steps = steps_for("cpu", dtype, hidden, inner)
    return lambda states: down(steps.gated(gate_up(steps.taken(states))))


def _seconds(block: Callable[[torch.Tensor], Rows], states: torch.Tensor) -> float:
    started = time.thread_time()  # on the core: who else is busy there does not count
    block(states)
    return time.thread_time() - started


def said_of_int8(sizes: tuple[int, int]) -> str:
    """Return what an operator should know who left the choice to `auto`."""
    gain = int8_gain(*sizes)
    if gain < _LEAST_GAIN:
        return "int8 is no faster here"
    return f"int8 measured {gain:.1f} times as fast as bf16; it changes scores, so it is asked for by name"


def said_of_kernels(device: str, dtype: str, dim: int) -> tuple[str, ...]:
    """Return what an operator should know of the kernels in use for heads `dim` wide, if there are any."""
    if device.startswith("cuda"):
        return (varlen.choice(device, FORMATS[dtype], dim).said,)
    return (str(found_kernels()),) if device == "cpu" and dtype != "fp32" else ()


def settle(
    dtype: str,
    make: Callable[[str], T],
    margins: Callable[[T], Sequence[float]],
    *,
    takes_int8: bool,
    sizes: tuple[int, int],
    anyway: bool,
    report: Report,
    exact_margins: Callable[[], Sequence[float]] | None = None,
) -> Settled[T]:
    """Make a model in `dtype`; in int8 only if that is faster here and agrees with bf16.

    Args:
        make: makes the model in a format.
        margins: returns its margins of the known pairs.
        exact_margins: returns those of bf16 without a whole model in bf16, where that can be done;
            else one is made first, and both lie in memory for a moment.
        takes_int8: whether it can be made in int8 at all.
        sizes: hidden and intermediate size, to measure with.
        anyway: whether int8 serves even if it does not agree.
    """
    if dtype != "int8":
        return Settled(make(dtype), dtype)
    if not takes_int8:
        return Settled(make("bf16"), "bf16", (), (_NOT_TAKEN,))
    return _int8_or_bf16(make, margins, exact_margins, sizes, anyway, report)


def _int8_or_bf16(
    make: Callable[[str], T],
    margins: Callable[[T], Sequence[float]],
    exact_margins: Callable[[], Sequence[float]] | None,
    sizes: tuple[int, int],
    anyway: bool,
    report: Report,
) -> Settled[T]:
    gain = int8_gain(*sizes)
    measured = f"int8 measured {gain:.1f} times as fast as bf16 at this model's size"
    if gain < _LEAST_GAIN:
        return Settled(make("bf16"), "bf16", (), (f"{measured}: bf16 is used",))
    report(measured)
    exact = [] if exact_margins else [make("bf16")]
    expected = exact_margins() if exact_margins else margins(exact[0])
    quick = make("int8")
    found = compare(expected, margins(quick))
    notes = (measured, f"int8 against bf16: {found}")
    report(notes[-1])
    if found.suffices or anyway:
        exact.clear()
        give_back()
        return Settled(quick, "int8", notes)
    refused = f"{disagreement(found)}: {INSTEAD}"
    del quick
    give_back()
    return Settled(exact[0] if exact else make("bf16"), "bf16", notes, (refused,))
