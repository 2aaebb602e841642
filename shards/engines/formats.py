"""Whether int8 serves: where it is faster here, and says the same as bf16.

`auto` never chooses int8, for it changes scores: it measures it and says what it would bring. Where
int8 is asked for, the model is made in bf16 as well, both score the known pairs, and one of them
stays. An operator who knows better (random weights have no order to agree on) can have int8 anyway.
"""

import ctypes
import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch.nn import functional

from shards.engines.agreement import LEAST_SPEARMAN, compare
from shards.engines.int8 import int8_works
from shards.engines.linears import Linear, pack
from shards.native.library import found_kernels
from shards.refusal import Report

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
    up = torch.randn(intermediate_size, hidden_size) / hidden_size**0.5
    down = torch.randn(hidden_size, intermediate_size) / intermediate_size**0.5
    states = torch.randn(_ROWS, hidden_size).to(torch.bfloat16)
    blocks = {
        dtype: (pack(up, None, dtype, "cpu"), pack(down, None, dtype, "cpu"))
        for dtype in ("bf16", "int8")
    }
    best = dict.fromkeys(blocks, float("inf"))
    for _ in range(
        _ROUNDS + 1
    ):  # in turn, so that a busy machine slows both; the first one warms up
        for dtype, block in blocks.items():
            best[dtype] = min(best[dtype], _seconds(states, *block))
    return best["bf16"] / best["int8"]


def _seconds(states: torch.Tensor, up: Linear, down: Linear) -> float:
    started = time.thread_time()  # on the core: who else is busy there does not count
    down(functional.silu(up(states)))
    return time.thread_time() - started


def said_of_int8(sizes: tuple[int, int]) -> str:
    """Return what an operator should know who left the choice to `auto`."""
    gain = int8_gain(*sizes)
    if gain < _LEAST_GAIN:
        return "int8 is no faster here"
    return f"int8 measured {gain:.1f} times as fast as bf16; it changes scores, so it is asked for by name"


def said_of_kernels(device: str, dtype: str) -> tuple[str, ...]:
    """Return what an operator should know of our kernels, where there is something to use them for."""
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
        _give_back()
        return Settled(quick, "int8", notes)
    refused = (
        f"int8 does not agree with bf16 ({found}; Spearman {LEAST_SPEARMAN} and the same best "
        "documents are needed): bf16 is used; `int8_anyway = true` serves int8 all the same"
    )
    del quick
    _give_back()
    return Settled(exact[0] if exact else make("bf16"), "bf16", notes, (refused,))


def _give_back() -> None:
    """Give the memory of what was dropped back to the system, where the C library keeps it."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
        if trim is not None:
            trim(0)
