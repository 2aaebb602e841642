"""Documents that no model has scored: they follow in a given order, below all that have a score."""

from collections.abc import Sequence

from gateway.config import INPUT_ORDER
from gateway.domain.request import UNCALIBRATED, Calibration, Scored

GAP = 1.0
"""The distance from the lowest margin of a model to the first one that was made for its place."""

STEP = 1e-3
"""The distance of two margins of documents that no model scored."""


def unscored(
    indices: Sequence[int], highest: float = 0.0, scale: Calibration = UNCALIBRATED
) -> list[Scored]:
    """Return documents without a score, with margins that fall in equal steps.

    Args:
        indices: their places in the request, in the order that they are to have.
        highest: the margin of the first one.
        scale: the calibration of the others.
    """
    return [
        Scored(
            index, highest - STEP * place, 0, truncated=False, calibration=scale, stage=INPUT_ORDER
        )
        for place, index in enumerate(indices)
    ]


def below(scored: Sequence[Scored]) -> float:
    """Return a margin below those of all these documents."""
    return min(one.margin for one in scored) - GAP
