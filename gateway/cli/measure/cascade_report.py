"""The table, the plot and the JSON of a cascade at each `keep`, for `gateway eval --first`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.console import console, print_table
from gateway.cli.measure.evaluation.keep import TOLERANCE, KeepFigures, recommended
from gateway.cli.plots import save_plot
from gateway.cli.table import Column, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Cascade:
    """A cascade before the evaluated model: its first model, and its figures at each `keep`."""

    first: str
    figures: Sequence[KeepFigures]


def cascade_values(cascade: Cascade) -> dict[str, Any]:
    """Return the figures as JSON has them."""
    return {
        "first": cascade.first,
        "keeps": [asdict(each) for each in cascade.figures],
        "recommended_keep": recommended(cascade.figures),
        "tolerance": TOLERANCE,
    }


def print_cascade(cascade: Cascade) -> None:
    """Print quality and time by `keep`, and the one to take."""
    columns = ("keep", "nDCG@10", "less the model alone", "time")
    rows = [
        {
            "keep": str(each.keep),
            "nDCG@10": f"{each.ndcg.mean:.4f}",
            "less the model alone": f"{each.less_second.mean:+.4f} "
            f"[{each.less_second.low:+.4f}, {each.less_second.high:+.4f}]",
            "time": f"{each.time:.0%}",
        }
        for each in cascade.figures
    ]
    title = f"Cascade with {cascade.first} first; time as a share of that of the model alone"
    print_table(Table([Column(name, right=True) for name in columns], rows, title=title))
    console().print(_advice(cascade.figures))


def _advice(figures: Sequence[KeepFigures]) -> str:
    if not figures:
        return "No query has more than 5 candidates: a cascade saves nothing. Raise --top-k."
    keep = recommended(figures)
    if keep is None:
        return (
            f"Every keep loses more than {TOLERANCE} of nDCG@10: no cascade of these two, or a "
            "larger --top-k."
        )
    time = next(each.time for each in figures if each.keep == keep)
    if time >= 1:
        return f"keep = {keep} keeps the quality, but saves no time: no cascade of these two."
    return f"Recommended: keep = {keep}, the least that loses at most {TOLERANCE} of nDCG@10."


def plot_cascade(path: Path, cascade: Cascade, second: str) -> None:
    """Write nDCG@10 and time over `keep`, with this second model."""
    figures = cascade.figures

    def draw(figure: "Figure") -> None:
        quality, time = figure.subplots(2, 1, sharex=True)
        keeps = [each.keep for each in figures]
        quality.plot(keeps, [each.ndcg.mean for each in figures], "o-")
        quality.fill_between(
            keeps,
            [each.ndcg.low for each in figures],
            [each.ndcg.high for each in figures],
            alpha=0.2,
        )
        quality.set(ylabel="nDCG@10, 95 % interval")
        time.plot(keeps, [100 * each.time for each in figures], "o-")
        time.set(xlabel="keep (documents)", ylabel=f"time, % of {second} alone", xscale="log")
        time.set_xticks(keeps, [str(keep) for keep in keeps])
        time.set_ylim(bottom=0)

    save_plot(path, f"{cascade.first}, then {second}", draw, (7, 6))
