"""The plot that the document shows: seconds of each contestant, one panel a workload."""

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.plots import save_plot
from scripts.bench_suite.contestants import CONTESTANTS
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
    """Write the plot; workloads that nobody was asked are left out."""
    panels = {
        workload: title
        for workload, title in _PANELS.items()
        if any(findings.seconds(name, workload) for name in findings.contestants)
    }

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for (workload, title), axis in zip(panels.items(), axes, strict=True):
            _bars(axis, findings, workload)
            axis.set(title=title, xlabel="seconds a request, logarithmic", xscale="log")

    save_plot(path, draw)


def _bars(axis: "Axes", findings: Findings, workload: str) -> None:
    shown = [one for one in CONTESTANTS if findings.seconds(one.name, workload)][::-1]
    seconds = [findings.seconds(one.name, workload) or 0.0 for one in shown]
    bars = axis.barh(
        [one.name for one in shown],
        seconds,
        color=[_OURS if one.ours else _OTHERS for one in shown],
    )
    axis.bar_label(bars, [f" {value:.3g}" for value in seconds])
    axis.grid(visible=False, axis="y")
    axis.margins(x=0.15)
