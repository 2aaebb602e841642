"""The choice between int8 and floats: int8 serves where it is faster and agrees with them.

int8 rounds weights and states, and its effect on the order depends on the checkpoint. So agreement
is measured on known pairs with the served checkpoint, when it is loaded.

`auto` never chooses int8, since it changes scores: it measures int8 and notes the gain. Where int8
is requested, the model is made in floats as well, both score the known pairs, and one of them
stays. These floats are bf16, or fp32 on CPUs that have no fast bf16 (`instead`).
An operator may have int8 in any case (random weights have no order to agree on).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Generic, TypeVar

import torch

from shards.canary import Pair, known_pairs
from shards.engines.base import Tokenizer
from shards.engines.layers import race, varlen
from shards.engines.layers.elementwise import steps_for
from shards.engines.layers.int8 import has_int8, keeps_fp32
from shards.engines.layers.linear import FORMATS, pack
from shards.engines.layers.timing import core_seconds, one_thread
from shards.machine.process import give_back_memory
from shards.native.library import found_kernels
from shards.native.rows import Rows
from shards.pairs import Batch
from shards.refusal import Report

LEAST_SPEARMAN = 0.995

_LANGUAGES = ("en", "ru", "zh")
_LEAST_GAIN = 1.15
_ROWS = {"bf16": 256, "fp32": 64}  # by the format beside int8; fp32 takes some ten times as long
_ROUNDS = 3

T = TypeVar("T")
Score = Callable[[Batch], Sequence[float]]


# -- agreement -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of a second list of margins with a first one.

    Attributes:
        pairs: the number of margins.
        spearman: the correlation of their ranks; 0 where one list has no order at all.
        queries, same_best: the number of queries, and of those with the same best document.
        largest: the largest difference of two margins.
    """

    pairs: int
    spearman: float
    queries: int
    same_best: int
    largest: float

    @property
    def suffices(self) -> bool:
        return self.spearman >= LEAST_SPEARMAN and self.same_best == self.queries

    def __str__(self) -> str:
        return (
            f"Spearman {self.spearman:.4f} over {self.pairs} known pairs, the same best document "
            f"for {self.same_best} of {self.queries} queries, margins differ by at most "
            f"{self.largest:.3f}"
        )


def disagreement(found: Agreement, other: str = "bf16") -> str:
    """Return the reason against int8, for messages."""
    return (
        f"int8 does not agree with {other} ({found}; Spearman {LEAST_SPEARMAN} and the same best "
        "documents are needed)"
    )


def margins_of_known_pairs(tokenizer: Tokenizer, score: Score) -> list[float]:
    """Return a margin for each known pair, all scored in one batch."""
    pairs = [
        tokenizer.tokenize(known.query, [known.document], instruction="", max_document_tokens=0)[0]
        for known in _known()
    ]
    return list(score(pairs))


def how_many_known() -> int:
    """Return the number of known pairs."""
    return len(_known())


def compare(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Compare two formats by their margins of the known pairs."""
    known = _known()
    ranges = [[at for at, _ in group] for _, group in groupby(enumerate(known), key=_query)]
    return Agreement(
        pairs=len(known),
        spearman=_correlation(_ranks(first), _ranks(second)),
        queries=len(ranges),
        same_best=sum(
            max(places, key=first.__getitem__) == max(places, key=second.__getitem__)
            for places in ranges
        ),
        largest=max(abs(a - b) for a, b in zip(first, second, strict=True)),
    )


def _known() -> Sequence[Pair]:
    return known_pairs(_LANGUAGES)


def _query(known: tuple[int, Pair]) -> str:
    return known[1].query


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value; equal ones share the mean of theirs."""
    ranks = [0.0] * len(values)
    ordered = sorted(enumerate(values), key=itemgetter(1))
    first = 0
    for _, group in groupby(ordered, key=itemgetter(1)):
        places = [place for place, _ in group]
        for place in places:
            ranks[place] = first + (len(places) - 1) / 2
        first += len(places)
    return ranks


def _correlation(first: Sequence[float], second: Sequence[float]) -> float:
    mean = (len(first) - 1) / 2  # of ranks, tied or not
    both = sum((a - mean) * (b - mean) for a, b in zip(first, second, strict=True))
    spread = sum((a - mean) ** 2 for a in first) * sum((b - mean) ** 2 for b in second)
    return both / spread**0.5 if spread else 0.0


# -- the choice ------------------------------------------------------------------------------------


def instead() -> str:
    """Return the format of floats that int8 is compared with, and that serves in its place."""
    return "fp32" if keeps_fp32() else "bf16"


def refusal_of(found: Agreement, other: str = "bf16") -> str:
    """Return the warning that another format serves than int8, with the reason."""
    return (
        f"{disagreement(found, other)}: {other} is used; `int8_anyway = true` serves int8 all the "
        "same"
    )


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """The model that serves, and the reasons for its format.

    Attributes:
        made: the model in the chosen format.
        dtype: the name of that format.
        notes: the measurements.
        warnings: the reason against the requested format, if it was not chosen.
    """

    made: T
    dtype: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def int8_gain(hidden_size: int, intermediate_size: int) -> float:
    """Return the speed of a feed-forward block in int8 over `instead`; 0 if it does not work."""
    if not has_int8():
        return 0.0
    other = instead()
    blocks = [_block(dtype, hidden_size, intermediate_size) for dtype in (other, "int8")]
    states = torch.full((_ROWS[other], hidden_size), 0.5, dtype=FORMATS[other])
    best = [float("inf")] * 2
    with one_thread():
        for _ in range(_ROUNDS + 1):  # in turn; the first one warms up
            for at, block in enumerate(blocks):
                best[at] = min(best[at], core_seconds(partial(block, states)))
    return best[0] / best[1]


def _block(dtype: str, hidden: int, inner: int) -> Callable[[torch.Tensor], Rows]:
    """Return a feed-forward block with a decoder's steps between its products."""
    weight = torch.full((2 * inner, hidden), 1 / hidden)
    gate_up: Any = pack(weight, None, dtype, "cpu")
    down: Any = pack(weight.view(hidden, -1)[:, :inner], None, dtype, "cpu")
    steps = steps_for("cpu", dtype, hidden, inner)
    return lambda states: down(steps.gated(gate_up(steps.product_input(states))))


def int8_note(sizes: tuple[int, int]) -> str:
    """Return the note about int8 for an operator who left the choice to `auto`."""
    gain = int8_gain(*sizes)
    if gain < _LEAST_GAIN:
        return "int8 is no faster here"
    return (
        f"int8 measured {gain:.1f} times as fast as {instead()}; it changes scores, so it has to "
        "be requested by name"
    )


def kernel_notes(device: str, dtype: str, dim: int) -> tuple[str, ...]:
    """Return the notes about the kernels in use for heads of `dim` elements, if there are any."""
    if device.startswith("cuda"):
        return (varlen.choice(device, FORMATS[dtype], dim).summary,)
    if device != "cpu" or dtype == "fp32":
        return ()
    found = found_kernels()
    return (str(found), *race.notes(dtype, found.tier))


def onednn_products(device: str, dtype: str) -> tuple[str, ...]:
    """Return the shapes whose products are oneDNN's, since they were faster than ours."""
    return race.lost(dtype, found_kernels().tier) if device == "cpu" else ()


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
    """Make a model in `dtype`; in int8 only if that is faster here and agrees with `instead`.

    Args:
        make: makes the model in a format.
        margins: returns its margins of the known pairs.
        takes_int8: whether it can be made in int8 at all.
        sizes: hidden and intermediate size, for the measurement.
        anyway: whether int8 serves even if it does not agree.
        exact_margins: returns the margins of `instead` without a whole model in that format;
            `None` where that is impossible: then a model is made first, and both lie in memory for
            a moment.
    """
    if dtype != "int8":
        return Settled(make(dtype), dtype)
    if not takes_int8:
        why = f"this kind of model has no int8 form: {instead()} is used"
        return Settled(make(instead()), instead(), (), (why,))
    return _int8_or_floats(make, margins, exact_margins, sizes, anyway, report)


def _int8_or_floats(
    make: Callable[[str], T],
    margins: Callable[[T], Sequence[float]],
    exact_margins: Callable[[], Sequence[float]] | None,
    sizes: tuple[int, int],
    anyway: bool,
    report: Report,
) -> Settled[T]:
    other, gain = instead(), int8_gain(*sizes)
    measured = f"int8 measured {gain:.1f} times as fast as {other} at this model's size"
    if gain < _LEAST_GAIN:
        return Settled(make(other), other, (), (f"{measured}: {other} is used",))
    report(measured)
    exact = [] if exact_margins else [make(other)]
    expected = exact_margins() if exact_margins else margins(exact[0])
    quick = make("int8")
    found = compare(expected, margins(quick))
    notes = (measured, f"int8 against {other}: {found}")
    report(notes[-1])
    if found.suffices or anyway:
        exact.clear()
        give_back_memory()
        return Settled(quick, "int8", notes)
    refused = refusal_of(found, other)
    del quick
    give_back_memory()
    return Settled(exact[0] if exact else make(other), other, notes, (refused,))
