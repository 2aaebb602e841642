"""Medians, ratios and verdicts of a run with known figures; its tables and its JSON."""

import math
from dataclasses import replace

import msgspec
import pytest

from scripts.bench_suite.figures import (
    Figures,
    Findings,
    agreement,
    differ_too_much,
    spread,
)
from scripts.bench_suite.machine import Machine
from scripts.bench_suite.musts import BUSY, MUSTS, QUIET
from scripts.bench_suite.page import with_tables
from scripts.bench_suite.table import markdown

MACHINE = Machine(
    processor="a processor",
    cores=2,
    memory_gb=24.0,
    torch="2",
    ceilings={"fp32": 200, "bf16": 800, "int8": 1600},
)


def findings() -> Findings:
    """Return a run in which ours takes 2 s, the naive worker 40 s and vLLM 6 s."""
    ours = Figures(
        seconds_to_ready=9.0,
        peak_mb=1024,
        seconds={"rag20": [2.0, 9.0, 2.0, 3.0], QUIET: [2.0, 3.0], BUSY: [4.0, 5.0]},
        computed_tokens={"rag20": [1000, 4500, 1000, 1500]},
    )
    slow = Figures(seconds_to_ready=4.0, peak_mb=8192, seconds={"rag20": [40.0]})
    other = Figures(seconds_to_ready=4.0, seconds={"rag20": [6.0, 9.0, 8.0]})
    return Findings(
        machine=MACHINE,
        rounds=3,
        contestants={"naive": slow, "vllm": other, "ours-bf16": ours},
        skipped={"card": "it did not start"},
        token_flop=(8e8, 0.0),
        padding_share=0.05,
        seconds_per_document={"10": 0.011, "100": 0.010},
        classifier_seconds_per_document={"10": 0.05, "100": 0.04},
        overhead=[{"clients": 1, "p50_ms": 0.5, "p99_ms": 4.0, "per_second": 900}],
    )


def test_a_ratio_is_the_median_over_requests_that_both_were_sent() -> None:
    found = findings()
    assert found.times("ours-bf16", "naive", "rag20") == 20  # 40/2, and no other
    assert found.times("ours-bf16", "vllm", "rag20") == 3  # of 6/2, 9/9, 8/2
    assert found.times("ours-bf16", "card", "rag20") is None
    assert found.times("ours-bf16", "vllm", "short3") is None


def test_the_share_of_the_ceiling_counts_computed_tokens() -> None:
    """1,000 tokens of 0.8 GFLOP in two seconds are 400 GFLOP/s, half of 800."""
    found = findings()
    assert found.share_of_ceiling("ours-bf16", "rag20", 20) == pytest.approx(0.5)
    assert found.share_of_ceiling("naive", "rag20", 20) is None  # it reports no computed tokens


def test_the_best_products_of_a_run_are_the_ceiling() -> None:
    found = findings()
    found.machine_reached({"fp32": 150, "bf16": 900})
    found.machine_reached({"fp32": 150, "bf16": 400})
    assert found.machine.ceilings == {"fp32": 200, "bf16": 900, "int8": 1600}
    text = " ".join(markdown(found).split())
    assert "900 in bf16, 1,600 in int8 (bf16: 400 to 900 from round to round)" in text


def test_a_demand_is_met_or_not() -> None:
    rows = {must.row(findings())[0]: must.row(findings())[1:] for must in MUSTS}
    assert rows["`rag20`, bf16, against the naive worker"] == ("at least 15.00x", "20.00x", "yes")
    assert rows["padding share of computed tokens"] == ("at most 3.0%", "5.0%", "**no**")
    assert rows["peak memory, bf16"][1:] == ("1.07 GB", "yes")
    assert rows["peak memory, int8"][1:] == ("not measured", "")
    busy = rows["`rag20`, bf16, one core busy: share of quiet"]
    assert busy[1:] == ("55.0%", "yes")  # of 2/4 and 3/5
    assert rows["gateway's own time, one client, p99"][1:] == ("4.00 ms", "**no**")
    dearest = rows["cost per document, 10 to 10,000: spread"]
    assert dearest[1:] == ("10.0%", "yes")
    usual = rows["the same, rubert-base's size, int8"]
    assert usual[1:] == ("25.0%", "**no**")


def test_scores_are_wrong_only_beyond_the_rounding_of_the_formats() -> None:
    found = agreement([0.10, 0.32, 0.2], [0.1, 0.3, 0.2])
    assert found.largest_difference == pytest.approx(0.02)
    assert found.spearman == pytest.approx(1.0)
    assert found.same_best
    assert differ_too_much(found, "fp32", "fp32")
    assert not differ_too_much(found, "bf16", "fp32")
    assert differ_too_much(replace(found, largest_difference=math.nan), "int8", "fp32")


def test_a_spread_needs_two() -> None:
    assert spread({"10": 1.0}) is None


def test_findings_can_be_written_and_read_again() -> None:
    raw = msgspec.json.encode(findings())
    again = msgspec.json.decode(raw, type=Findings)
    assert again == findings()
    assert markdown(again) == markdown(findings())


def test_the_tables_show_every_contestant_and_those_that_are_missing() -> None:
    text = markdown(findings())
    assert "| naive worker: fp32, batches of 8, full logits | 40 | 1.0x | 4.0 s | 8.0 GiB |" in text
    assert "| **ours, bf16** | 2.5 | 20.0x |" in text
    assert "Not measured: card: it did not start" in text
    assert "Measured by themselves, in so many rounds: naive (2)." in text


def test_tables_go_between_the_marks_of_a_page_and_nowhere_else() -> None:
    page = "before\n<!-- bench: scripts/bench --write -->\nold\n<!-- end of bench -->\nafter\n"
    new = with_tables(page, "new\n")
    assert new == page.replace("old\n", "\nnew\n\n")
    assert with_tables(new, "new\n") == new
    with pytest.raises(ValueError, match="end of bench"):
        with_tables("no marks", "new")
