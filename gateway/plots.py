"""Plots as SVG or PNG, by matplotlib: the extra `plot`. Only commands that were asked for one use it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")


class CannotPlot(Exception):
    """A plot cannot be made; says what to do."""


def check_plot(path: Path) -> None:
    """Refuse what could not be written, before the work that would be plotted.

    Raises:
        CannotPlot: the suffix is unknown, the folder is missing, or matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise CannotPlot(f"{path} must end in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise CannotPlot(f"there is no folder {path.parent}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise CannotPlot(
            "plots need matplotlib: pip install 'rerank-gateway[plot]', or in a checkout "
            ".venv/bin/pip install -c scripts/constraints.txt matplotlib"
        ) from None


def save_plot(
    path: Path, draw: "Callable[[Figure], None]", size: tuple[float, float] = (8, 5)
) -> None:
    """Have a figure of so many inches drawn, and write it; the same data gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "rerank-gateway", "font.size": 9, "axes.grid": True}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=144, metadata=metadata)
