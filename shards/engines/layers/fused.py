"""The steps between products on a GPU, fused by `torch.compile` where that is measured to gain.

Operation by operation a step goes through memory several times, fused once. But compiling takes
seconds, Triton and a C compiler, and a call of compiled code takes Python some ten microseconds
more, which counts in a small batch. So at load each step is compiled, compared with the plain one,
and timed beside it on a small and on a large batch. It serves where it gains more on the one than
it loses on the other.

The number of rows varies from batch to batch, and is declared to the compiler as dynamic. A single
row, for which it would compile anew, takes the plain way. Turns are passed as real numbers, since
the compiler takes no complex ones.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

from shards.engines.layers.elementwise import (
    IN_PLACE,
    PLAIN,
    Formulas,
    Steps,
    real_turned,
    steps_for,
)
from shards.engines.layers.linear import FORMATS

INDUCTOR = "inductor"  # the backend of `torch.compile` that generates kernels

_ROWS = (64, 4096)  # of a small and a large batch
_TRIES = 5
_MOST_SECONDS = 30.0  # of compiling; a step that has begun is finished
_EPS = 1e-6

Arguments = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a model for which steps are compiled; `inner` is the width of a gated row."""

    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class Fusing:
    """The steps that serve, and a line about the measurement."""

    steps: Formulas
    summary: str


def steps_on(device: str, dtype: str, sizes: Sizes) -> Steps:
    """Return the fastest steps for a device, a number format and a model."""
    if device.startswith("cuda"):
        return fusing(device, dtype, sizes).steps
    return steps_for(device, dtype, sizes.hidden, sizes.heads * sizes.head_dim, sizes.inner)


@cache
def fusing(device: str, dtype: str, sizes: Sizes) -> Fusing:
    """Measure, once in this process, which steps are worth fusing on a GPU."""
    if find_spec("triton") is None:
        return Fusing(IN_PLACE, "steps between products are not fused: Triton is missing")
    return measured(device, FORMATS[dtype], sizes, INDUCTOR, lambda: _when_done(device))


def _when_done(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


@torch.inference_mode()
def measured(
    device: str, dtype: torch.dtype, sizes: Sizes, backend: Any, clock: Callable[[], float]
) -> Fusing:
    """Compile each step, and choose it if it gains.

    Args:
        backend: of `torch.compile`.
        clock: returns seconds, once all queued work of the device is done.
    """
    started = clock()
    steps, lines = IN_PLACE, []
    for name, fusable, arguments in (
        ("norm", _norm, _norm_arguments),
        ("turn", real_turned, _turn_arguments),
        ("gate", PLAIN.gate, _gate_arguments),
    ):
        if clock() - started > _MOST_SECONDS:
            lines.append(f"{name} as it is (compiling took long enough)")
            continue
        plain = getattr(IN_PLACE, name)
        step = _Fused(torch.compile(fusable, backend=backend), plain, name == "turn")
        try:
            gains = _gains(
                step, plain, [arguments(rows, sizes, device, dtype) for rows in _ROWS], clock
            )
        except Exception as error:  # the compiler may not suit this build, driver or machine
            lines.append(f"{name} as it is ({_first_lines(error)})")
            continue
        is_worth_it = gains[0] * gains[1] >= 1
        if is_worth_it:
            steps = replace(steps, **{name: step})
        lines.append(_line(name, is_worth_it, gains))
    return Fusing(steps, f"steps between products: {', '.join(lines)}")


def _line(name: str, is_fused: bool, gains: Sequence[float]) -> str:
    how = "fused" if is_fused else "as it is"
    times = " and ".join(f"{gain:.1f}" for gain in gains)
    return f"{name} {how} (fused {times} times as fast at {_ROWS[0]} and {_ROWS[1]} rows)"


def _first_lines(error: Exception) -> str:
    """Return the first two lines of an error: the compiler, and its complaint."""
    return " ".join(str(error).split("\n")[:2]).strip() or repr(error)


class _Fused:
    """A compiled step, with the plain one for a single row."""

    def __init__(self, compiled: Any, plain: Callable[..., Any], takes_turns: bool) -> None:
        self._compiled = compiled
        self._plain = plain
        self._takes_turns = takes_turns

    def __call__(self, rows: torch.Tensor, *rest: Any) -> Any:
        if len(rows) == 1:
            return self._plain(rows, *rest)
        if self._takes_turns:
            norms, turns, eps = rest
            return self._compiled(rows, norms, torch.view_as_real(turns), eps)
        return self._compiled(rows, *rest)

    def compile(self, rows: torch.Tensor, *rest: Any) -> Any:
        """Compile for any number of rows, and return the result for these."""
        torch._dynamo.mark_dynamic(rows, 0)
        if self._takes_turns:
            norms, turns, eps = rest
            real = torch.view_as_real(turns)
            torch._dynamo.mark_dynamic(real, 0)
            return self._compiled(rows, norms, real, eps)
        return self._compiled(rows, *rest)


def _gains(
    step: _Fused,
    plain: Callable[..., torch.Tensor],
    sizes: Sequence[Sequence[Arguments]],
    clock: Callable[[], float],
) -> list[float]:
    """Return the speed of the fused step over the plain one, on a small and a large batch.

    Raises:
        AssertionError: it computes other numbers.
        Exception: any error of compiling.
    """
    for given in sizes[-1]:
        found, expected = step.compile(*given), plain(*given)
        torch.testing.assert_close(found.float(), expected.float(), rtol=0.02, atol=0.02)
    gains = []
    for alike in sizes:
        for given in alike:
            step(*given)
        gains.append(_best(plain, alike[0], clock) / _best(step, alike[0], clock))
    return gains


def _best(step: Callable[..., Any], given: Arguments, clock: Callable[[], float]) -> float:
    best = float("inf")
    for _ in range(_TRIES):
        started = clock()
        step(*given)
        best = min(best, clock() - started)
    return max(best, 1e-9)


def _norm(states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return PLAIN.norm(states, weight, eps).to(states.dtype)  # for the next product


# Arguments of steps, in each shape in which a model passes them: `[rows, ...]` comes first. To the
# compiler a tensor made in inference mode, as states are, differs in kind from one made before, as
# weights are.


def _weights(*size: int, device: str) -> torch.Tensor:
    with torch.inference_mode(False):
        return torch.ones(size, device=device)


def _norm_arguments(rows: int, sizes: Sizes, device: str, dtype: torch.dtype) -> list[Arguments]:
    states = torch.randn(rows, sizes.hidden, device=device).to(dtype)
    return [(states, _weights(sizes.hidden, device=device), _EPS)]


def _turn_arguments(rows: int, sizes: Sizes, device: str, dtype: torch.dtype) -> list[Arguments]:
    """Return products of queries, keys and values; of the last layer also keys or queries alone."""
    dim, kv_heads = sizes.head_dim, sizes.kv_heads
    turns = torch.polar(*torch.rand(2, rows, 1, dim // 2, device=device))
    given: list[Arguments] = []
    for values, heads in (
        (kv_heads, kv_heads + sizes.heads),
        (kv_heads, kv_heads),
        (0, sizes.heads),
    ):
        product = torch.randn(rows, (values + heads) * dim, device=device).to(dtype)
        given.append((product[:, values * dim :], _weights(heads, dim, device=device), turns, _EPS))
    return given


def _gate_arguments(rows: int, sizes: Sizes, device: str, dtype: torch.dtype) -> list[Arguments]:
    return [(torch.randn(rows, 2 * sizes.inner, device=device).to(dtype),)]
