"""Plots as SVG or PNG by matplotlib (extra `plot`), for commands with the option `--plot`."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")


def plot_option(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--plot` with this help."""
    return click.option("--plot", metavar="FILE", type=click.Path(path_type=Path), help=help)


def check_plot(path: Path) -> None:
    """Reject a plot that could not be written, before the work that it would show.

    Raises:
        click.BadParameter: wrong suffix, no such folder, or matplotlib is not installed.
    """
    if problem := _problem(path):
        raise click.BadParameter(problem, param_hint="--plot")


def _problem(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        return f"{path} must end in {' or '.join(SUFFIXES)}"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if find_spec("matplotlib") is None:
        return (
            "plots need matplotlib: pip install 'rerank-gateway[plot]', or in a checkout "
            ".venv/bin/pip install -c scripts/constraints.txt matplotlib"
        )
    return ""


def save_plot(
    path: Path, title: str, draw: "Callable[[Figure], None]", size: tuple[float, float] = (8, 5)
) -> None:
    """Draw a figure of this size in inches and write it; the same data gives the same bytes.

    The title names the models. Axes have plain numbers, no powers of ten; the text of an SVG is
    text.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {
            "svg.hashsalt": "rerank-gateway",
            "svg.fonttype": "none",
            "font.size": 9,
            "axes.grid": True,
        }
    ):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.suptitle(title)
        for axes in figure.axes:
            _use_plain_numbers(axes.xaxis)
            _use_plain_numbers(axes.yaxis)
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=144, metadata=metadata)


def _use_plain_numbers(axis: "Axis") -> None:
    """Label the ticks of an axis with plain numbers, unless it has labels of its own."""
    from matplotlib.ticker import FixedFormatter, FuncFormatter, ScalarFormatter

    formatter = axis.get_major_formatter()
    if isinstance(formatter, ScalarFormatter):
        formatter.set_scientific(False)
        formatter.set_useOffset(False)
    elif axis.get_scale() == "log" and not isinstance(formatter, FixedFormatter):
        low, high = axis.get_view_interval()
        # of the ticks at powers of ten alone one or two would be left
        digits = "123456789" if high < 10 * low else "25" if high < 100 * low else ""
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
        axis.set_minor_formatter(
            FuncFormatter(lambda value, _: plain(value) if f"{value:e}"[0] in digits else "")
        )


def plain(value: float) -> str:
    """Return a number without an exponent: `10000`, `0.001`."""
    return f"{value:.10f}".rstrip("0").rstrip(".")
