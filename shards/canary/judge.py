"""The verdict on a model by the margins of known pairs. Pure.

A language is *in order* when each right document beats the wrong ones for its query, and each query
the other queries for its document. A model that declares its languages must have all of them in
order. One that does not must have half of all languages in order: its own are unknown, and an
untrained model has about one chance in 80 for each.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from shards.canary.findings import Finding, Margins, finding, signature
from shards.canary.pairs import Pair

_LEAST_SPREAD = 0.25
_SHOWN = 3

# The largest difference of a pair's margins between two loads: absolute, and relative.
# Kernels and batches differ between devices; bf16 keeps 8 bits, fp16 11.
TOLERANCES = {"fp32": (0.005, 0.002), "fp16": (0.05, 0.02), "bf16": (0.25, 0.05)}
_LOOSEST = (0.5, 0.1)  # of number formats that are not listed


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a model.

    Attributes:
        findings: faults; empty if the model may serve.
        notes: remarks for the operator on a model that may serve.
        spread: mean margin of right documents less that of wrong ones.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    spread: float = 0.0


def judge(
    pairs: Sequence[Pair], margins: Margins, *, numeric: bool, declared: bool = False
) -> Verdict:
    """Judge the margins of built-in pairs.

    Args:
        numeric: whether they only have to be numbers, and not all equal.
        declared: whether the model itself declares the languages of these pairs.
    """
    if not margins:
        return Verdict(())
    if (found := signature(margins, numeric=numeric)) and (numeric or found.code != "ties"):
        return Verdict((found,))
    if numeric:
        return Verdict(())
    return _judge_order(pairs, margins, declared=declared)


def _judge_order(pairs: Sequence[Pair], margins: Margins, *, declared: bool) -> Verdict:
    squares = dict(_squares(pairs, margins))
    right = [language for language, square in squares.items() if _is_in_order(square)]
    wrong = [language for language in squares if language not in right]
    known = right or list(squares)
    values = [value for name in known for row in squares[name] for value in row]
    spread = fmean(_spread(squares[language]) for language in known)
    findings = [*_ties(values)]
    if len(right) < (len(squares) if declared else len(squares) / 2):
        findings.append(_wrong_order(squares, wrong))
    elif spread < _LEAST_SPREAD:
        findings.append(
            finding("spread", f"right answers lie {spread:.3f} of margin above wrong ones")
        )
    notes = (f"canary: the known pairs are not in order in {', '.join(wrong)}",) if wrong else ()
    return Verdict(tuple(findings), () if findings else notes, spread)


def _ties(values: Margins) -> list[Finding]:
    found = signature(values, numeric=False)
    return [found] if found else []


def _wrong_order(squares: dict[str, "_Square"], wrong: Sequence[str]) -> Finding:
    if sum(_is_in_order(_negated(square)) for square in squares.values()) * 2 >= len(squares):
        return finding("inverted", "right answers score below wrong ones")
    return finding(
        "order",
        f"known pairs are in the wrong order ({', '.join(wrong)}): a right answer scores below a "
        "wrong one",
    )


def judge_same(
    margins: Margins, before: Margins, dtypes: Iterable[str], *, since: str
) -> Finding | None:
    """Compare the margins of the same pairs, in these number formats, with earlier ones."""
    absolute, relative = (
        max(values)
        for values in zip(*(TOLERANCES.get(dtype, _LOOSEST) for dtype in dtypes), strict=True)
    )
    apart = [
        (was, now)
        for was, now in zip(before, margins, strict=True)
        if not abs(now - was) <= absolute + relative * abs(was)  # NaN is not within anything
    ]
    if not apart:
        return None
    was, now = max(apart, key=lambda two: abs(two[1] - two[0]))
    return finding(
        "changed",
        f"{len(apart)} of {len(margins)} known pairs have other scores than {since} (margin "
        f"{now:.4f} instead of {was:.4f})",
    )


@dataclass(frozen=True, slots=True)
class Own:
    """The margins of one entry of `canaries`, and the expectations of it.

    Attributes:
        right, wrong: margins; `wrong` is `None` where the entry has no wrong document.
        right_score, wrong_score: expected relevance scores; `None` for any.
        tolerance: the largest difference of a score from the expected one.
    """

    place: int
    right: float
    wrong: float | None
    right_score: float | None
    wrong_score: float | None
    tolerance: float


def judge_own(canaries: Sequence[Own]) -> tuple[Finding, ...]:
    """Judge the margins of the operator's own pairs."""
    faults = [line for canary in canaries for line in _faults(canary)]
    if not faults:
        return ()
    more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return (finding("own", "; ".join(faults[:_SHOWN]) + more),)


def _faults(canary: Own) -> Iterable[str]:
    name = f"canary {canary.place}"
    if canary.wrong is not None and not canary.right > canary.wrong:
        yield (
            f"{name}: its right document has margin {canary.right:.3f}, "
            f"its wrong one {canary.wrong:.3f}"
        )
    for which, margin, expected in (
        ("right", canary.right, canary.right_score),
        ("wrong", canary.wrong, canary.wrong_score),
    ):
        if margin is None or expected is None:
            continue
        score = as_score(margin)
        if not abs(score - expected) <= canary.tolerance:
            yield (
                f"{name}: its {which} document scores {score:.4f}, {expected:g} is expected "
                f"(tolerance {canary.tolerance:g})"
            )


def as_score(margin: float) -> float:
    """Return the margin as a relevance score."""
    return 0.5 * (1.0 + math.tanh(0.5 * margin))


# Rows are queries, columns documents; the right ones are on the diagonal.
_Square = Sequence[Sequence[float]]


def _squares(pairs: Sequence[Pair], margins: Margins) -> Iterable[tuple[str, _Square]]:
    """Yield language and margins, `[queries, documents]`."""
    both = zip(pairs, margins, strict=True)
    for language, group in groupby(both, key=lambda item: item[0].language):
        values = [margin for _, margin in group]
        side = math.isqrt(len(values))
        yield language, [values[start : start + side] for start in range(0, len(values), side)]


def _is_in_order(square: _Square) -> bool:
    return all(
        square[at][at] > max(square[at][other], square[other][at])
        for at in range(len(square))
        for other in range(len(square))
        if other != at
    )


def _negated(square: _Square) -> _Square:
    return [[-value for value in row] for row in square]


def _spread(square: _Square) -> float:
    side = range(len(square))
    right = fmean(square[at][at] for at in side)
    wrong = fmean(square[row][column] for row in side for column in side if row != column)
    return right - wrong
