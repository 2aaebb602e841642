"""Platt scaling, or temperature scaling: the map from margins to probabilities. Pure.

relevance_score = sigmoid(slope * margin + intercept). The slope is positive, so the order never
changes. The fit uses Newton's method with a line search, after H.-T. Lin, C.-J. Lin and R. C. Weng,
"A note on Platt's probabilistic outputs for support vector machines" (2007). Targets lie a little
inside 0 and 1, as there: labels that a threshold separates would need an infinite slope.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from gateway.domain.request import Calibration, sigmoid

FEWEST = 10
"""Least number of pairs of each kind, relevant or not, for a fit."""

FEW = 100
"""Number of pairs of each kind below which the map is rough."""

_STEPS = 100
_RIDGE = 1e-12  # keeps the Hessian invertible where all margins are equal
_SMALLEST_STEP = 1e-10
_DONE = 1e-9


class CannotCalibrate(Exception):
    """Labels that do not support a map; the message has the reason."""


def fit(margins: Sequence[float], labels: Sequence[bool], *, shifts: bool = True) -> Calibration:
    """Return the map that makes the labels most likely.

    Args:
        margins: a finite margin per pair.
        labels: whether the pair is relevant.
        shifts: whether to fit an intercept; without it the slope alone, 1 over the temperature.

    Raises:
        CannotCalibrate: too few pairs, or relevant pairs have no larger margins than others.
    """
    _check(margins, labels)
    targets = _targets(labels)
    slope, intercept = (0.0, _logit(sum(targets) / len(targets))) if shifts else (0.0, 0.0)
    loss = _loss(margins, targets, slope, intercept)
    for _ in range(_STEPS):
        down = _newton(margins, targets, slope, intercept, shifts=shifts)
        if down is None:
            break
        size = 1.0
        while size > _SMALLEST_STEP:
            tried = (slope + size * down[0], intercept + size * down[1])
            found = _loss(margins, targets, *tried)
            if found < loss:
                (slope, intercept), loss = tried, found
                break
            size /= 2
        else:
            break
    if slope <= 0:
        raise CannotCalibrate(
            f"relevant pairs do not have larger margins than others (slope {slope:.3g}): labels or "
            "scores are upside down, or the model cannot rank; measure it with `gateway eval`"
        )
    return Calibration(slope, intercept)


def held_out(
    margins: Sequence[float],
    labels: Sequence[bool],
    groups: Sequence[int],
    *,
    shifts: bool = True,
    folds: int = 5,
) -> list[float] | None:
    """Return scores by cross-validation: each by a map fitted without the group of its pair.

    Groups are queries: their pairs stay together. None if too few pairs are left for a fit.
    """
    scores = [0.0] * len(margins)
    for fold in range(folds):
        kept = [index for index, group in enumerate(groups) if group % folds != fold]
        try:
            found = fit([margins[i] for i in kept], [labels[i] for i in kept], shifts=shifts)
        except CannotCalibrate:
            return None
        for index, group in enumerate(groups):
            if group % folds == fold:
                scores[index] = found.score(margins[index])
    return scores


def _check(margins: Sequence[float], labels: Sequence[bool]) -> None:
    relevant = sum(labels)
    if min(relevant, len(labels) - relevant) < FEWEST:
        raise CannotCalibrate(
            f"{relevant} relevant pairs and {len(labels) - relevant} others: at least {FEWEST} of "
            f"each are needed, and {FEW} or more give a reliable map"
        )
    if not all(map(math.isfinite, margins)):
        raise CannotCalibrate(
            "a margin is not finite: the model is broken, run `gateway verify` first"
        )
    if all(first == second for first, second in pairwise(margins)):
        raise CannotCalibrate("all margins are equal: they carry no information about relevance")


def _targets(labels: Sequence[bool]) -> list[float]:
    """Return Platt's targets: 1 and 0, moved inside by the uncertainty of so many labels."""
    relevant = sum(labels)
    high, low = (relevant + 1) / (relevant + 2), 1 / (len(labels) - relevant + 2)
    return [high if label else low for label in labels]


def _loss(
    margins: Sequence[float], targets: Sequence[float], slope: float, intercept: float
) -> float:
    """Return the cross-entropy: log(1 + e^x) - target * x, without overflow."""
    total = 0.0
    for margin, target in zip(margins, targets, strict=True):
        x = slope * margin + intercept
        total += max(x, 0.0) + math.log1p(math.exp(-abs(x))) - target * x
    return total


def _newton(
    margins: Sequence[float],
    targets: Sequence[float],
    slope: float,
    intercept: float,
    *,
    shifts: bool,
) -> tuple[float, float] | None:
    """Return Newton's step; None at the minimum."""
    by_slope = by_intercept = 0.0
    aa, ab, bb = _RIDGE, 0.0, _RIDGE
    for margin, target in zip(margins, targets, strict=True):
        score = sigmoid(slope * margin + intercept)
        error, weight = score - target, score * (1 - score)
        by_slope += error * margin
        by_intercept += error
        aa += weight * margin * margin
        ab += weight * margin
        bb += weight
    if not shifts:
        return None if abs(by_slope) < _DONE else (-by_slope / aa, 0.0)
    if abs(by_slope) < _DONE and abs(by_intercept) < _DONE:
        return None
    determinant = aa * bb - ab * ab
    return (
        -(bb * by_slope - ab * by_intercept) / determinant,
        -(aa * by_intercept - ab * by_slope) / determinant,
    )


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
