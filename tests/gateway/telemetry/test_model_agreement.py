"""The comparison of one request, and the agreement on a window of them."""

import math
import random

import pytest

from gateway.telemetry.model_agreement import Agreement, Window, compared, is_chosen


def test_an_empty_window_has_no_agreement() -> None:
    assert Window().agreement() == Agreement()


def test_means_over_the_window() -> None:
    window = Window()
    ten, turned = list(range(12)), list(reversed(range(12)))
    window.add(compared(ten, ten, seconds=1.0, shadow_seconds=2.0))
    window.add(compared(ten, turned, seconds=3.0, shadow_seconds=2.0))
    assert window.agreement() == Agreement(
        requests=2, tau=0.0, top1=0.5, overlap=0.9, latency_ratio=1.0
    )


def test_undefined_values_are_left_out() -> None:
    """Equal scores of all documents define no tau, ten documents or fewer no overlap."""
    window = Window()
    window.add(compared([1.0, 1.0], [2.0, 1.0], seconds=0.0, shadow_seconds=1.0))
    assert window.agreement() == Agreement(requests=1, top1=1.0)
    window.add(compared([1.0, 2.0], [2.0, 3.0], seconds=1.0, shadow_seconds=1.0))
    found = window.agreement()
    assert (found.tau, found.overlap, found.latency_ratio) == (1.0, None, 2.0)


def test_the_window_rolls() -> None:
    window = Window(most=3)
    for shadows in ([2.0, 1.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]):
        window.add(compared([1.0, 2.0], shadows, seconds=1.0, shadow_seconds=1.0))
    assert window.agreement().tau == 1.0
    assert window.agreement().requests == 3


def test_nan_is_not_compared() -> None:
    with pytest.raises(ValueError, match="not a number"):
        compared([1.0, 2.0], [1.0, math.nan], seconds=1.0, shadow_seconds=1.0)


@pytest.mark.parametrize("percent", [0.5, 5.0, 50.0, 100.0])
def test_the_given_percentage_is_chosen(percent: float) -> None:
    draw = random.Random(8).random
    chosen = sum(is_chosen(percent, draw) for _ in range(20_000))
    assert chosen / 200 == pytest.approx(percent, rel=0.2)
