"""Plots name their models, and have plain numbers on their axes."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from gateway.cli.plots import plain, save_plot
from tests.gateway.cli.conftest import svg_texts


@pytest.mark.parametrize(
    ("value", "text"), [(10_000, "10000"), (0.001, "0.001"), (1, "1"), (20.5, "20.5"), (0, "0")]
)
def test_a_number_is_plain(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("scale", "values"),
    [
        *[("log", each) for each in ([0.001, 10_000], [120, 950], [900, 11_000], [2e-5, 4e-5])],
        *[("linear", each) for each in ([0, 20_000_000], [3_000_000.5, 3_000_001.5], [2e-5, 4e-5])],
    ],
)
def test_axes_have_plain_numbers(scale: str, values: list[float], tmp_path: Path) -> None:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], values)
        axes.set(yscale=scale)

    save_plot(tmp_path / "a.svg", "models a and b", draw)
    texts = svg_texts(tmp_path / "a.svg")
    assert "models a and b" in texts
    numbers = [text for text in texts if text != "models a and b"]
    assert len(numbers) > 6 + 1  # those of x, and at least two of y
    assert [text for text in numbers if not re.fullmatch(r"[-−]?\d+(\.\d+)?", text)] == []


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        save_plot(tmp_path / name, "t", lambda figure: None)
    for kind in ("svg", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
