"""Findings as Markdown: a table for each family, one of the requirements, and the machine. Pure."""

import textwrap
from collections.abc import Iterable, Sequence

from scripts.bench_suite.contestants import CONTESTANTS, Contestant
from scripts.bench_suite.figures import Figures, Findings
from scripts.bench_suite.musts import MUSTS
from scripts.bench_suite.parts import MOST_WORDS
from scripts.bench_suite.workloads import REPEATED

_COLUMNS_OF_PROSE = 116
_COLUMNS = {
    "causal": {
        "`short3`": "short3",
        "again": f"short3{REPEATED}",
        "`rag20`": "rag20",
        "again ": f"rag20{REPEATED}",
        "`rag100`": "rag100",
    },
    "classifier": {"`rag40`": "rag40"},
}
_MAIN = {"causal": ("rag20", "naive"), "classifier": ("rag40", "bert-naive")}
_FAMILIES = {
    "causal": "Qwen3-Reranker-0.6B's size, over HTTP, seconds a request",
    "classifier": "rubert-base's size, over HTTP, seconds a request",
}


def markdown(findings: Findings) -> str:
    """Return the whole section of the document."""
    blocks = [_machine(findings)]
    for family in _FAMILIES:
        blocks += _family(findings, family)
    blocks += [_musts(findings), *_rest(findings)]
    return "\n\n".join(blocks) + "\n"


def _machine(findings: Findings) -> str:
    one = findings.machine
    ceilings = ", ".join(f"{gflops:,} in {dtype}" for dtype, gflops in one.ceilings.items())
    return _filled(
        f"{one.cores} cores of {one.processor}, {one.memory_gb:.0f} GB, torch {one.torch}, "
        f"{findings.rounds} rounds; one matrix product reaches, in GFLOP/s: {ceilings}"
        f"{_evenness(findings)}. `again` is the same query with other documents."
    )


def _evenness(findings: Findings) -> str:
    seen = findings.bf16_ceilings
    return f" (bf16: {min(seen)} to {max(seen)} from round to round)" if seen else ""


def _family(findings: Findings, family: str) -> list[str]:
    shown = [
        one for one in CONTESTANTS if one.family == family and one.name in findings.contestants
    ]
    if not shown:
        return []
    columns = {
        title: workload
        for title, workload in _COLUMNS[family].items()
        if any(findings.seconds(one.name, workload) for one in shown)
    }
    titles = (*columns, "times naive", "ready", "peak memory", "margins within")
    rows = [_row(findings, one, list(columns.values())) for one in shown]
    return [f"**{_FAMILIES[family]}**", _table(("", *titles), rows)]


def _row(findings: Findings, one: Contestant, workloads: Sequence[str]) -> list[str]:
    figures = findings.contestants[one.name]
    seconds = [_seconds(findings.seconds(one.name, workload)) for workload in workloads]
    workload, naive = _MAIN[one.family]
    times = findings.times(one.name, naive, workload)
    return [
        one.title,
        *seconds,
        "" if times is None else f"{times:.1f}x",
        f"{figures.seconds_to_ready:.1f} s",
        f"{figures.peak_mb / 1024:.1f} GiB",
        _agreement(figures),
    ]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _agreement(figures: Figures) -> str:
    found = figures.agreement
    if found is None:
        return "exact"
    rank = "" if found.spearman is None else f", Spearman {found.spearman:.3f}"
    return f"{found.largest_difference:.4f}{rank}{'' if found.same_best else ', another best'}"


def _musts(findings: Findings) -> str:
    rows = [must.row(findings) for must in MUSTS if must.reached(findings) is not None]
    missing = [must.what for must in MUSTS if must.reached(findings) is None]
    said = _table(("", "asked", "reached", "met"), rows) if rows else ""
    return said + (f"\n\nNot measured in this run: {'; '.join(missing)}." if missing else "")


def _rest(findings: Findings) -> list[str]:
    said = []
    for what, cost in (
        ("`embedded:qwen3`, bf16, passages", findings.seconds_per_document),
        (
            f"rubert-base's size, int8, passages of at most {MOST_WORDS} words",
            findings.classifier_seconds_per_document,
        ),
    ):
        costs = [f"{seconds * 1e3:.2f} ms at {int(count):,}" for count, seconds in cost.items()]
        if costs:
            said.append(f"One document of one request ({what}): {', '.join(costs)}.")
    alone = [
        f"{one.name} ({one.rounds_alone})"
        for one in CONTESTANTS
        if one.rounds_alone and one.name in findings.contestants
    ]
    if alone:
        said.append(f"Measured by themselves, in so many rounds: {', '.join(alone)}.")
    said += [f"Not measured: {name}: {why}" for name, why in findings.skipped.items()]
    return [_filled(text) for text in said]


def _filled(text: str) -> str:
    return textwrap.fill(text, _COLUMNS_OF_PROSE, break_long_words=False, break_on_hyphens=False)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str.strip, line)) + " |" for line in lines)
