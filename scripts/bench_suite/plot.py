"""The plot that the document shows: seconds of each contestant, one panel a workload."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.plots import save_plot
from scripts.bench_suite.contestants import CONTESTANTS, Contestant
from scripts.bench_suite.figures import Findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = {
    "short3": "Qwen3-Reranker-0.6B: 3 sentences",
    "rag20": "Qwen3-Reranker-0.6B: 20 passages",
    "rag40": "rubert-base: 40 passages",
}
_OURS, _OTHERS = "#2a6f4e", "#b0b0b0"


def plot(findings: Findings, path: Path) -> None:
    """Write the plot; workloads without figures are left out."""
    asked = {
        workload: [one for one in CONTESTANTS if findings.seconds(one.name, workload)]
        for workload in _PANELS
    }
    panels = {workload: shown for workload, shown in asked.items() if shown}

    def draw(figure: "Figure") -> None:
        heights = [len(shown) for shown in panels.values()]
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for (workload, shown), axis in zip(panels.items(), axes, strict=True):
            _bars(axis, findings, workload, shown)
            axis.set(title=_PANELS[workload], xscale="log")
        axes[-1].set(xlabel="seconds a request, logarithmic; less is better")

    inches = 1 + 0.25 * sum(map(len, panels.values()))
    save_plot(path, "Seconds a request of each server", draw, (8, inches))


def _bars(
    axis: "Axes", findings: Findings, workload: str, contestants: Sequence[Contestant]
) -> None:
    shown = contestants[::-1]
    seconds = [findings.seconds(one.name, workload) or 0.0 for one in shown]
    bars = axis.barh(
        [one.name for one in shown],
        seconds,
        color=[_OURS if one.ours else _OTHERS for one in shown],
    )
    axis.bar_label(bars, [f" {value:.3g}" for value in seconds])
    axis.grid(visible=False, axis="y")
    axis.margins(x=0.15)
