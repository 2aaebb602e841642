"""The command itself, without a measurement: names, and earlier findings."""

from pathlib import Path

import msgspec
from click.testing import CliRunner

from scripts.bench_suite import page
from scripts.bench_suite.__main__ import NAMES, NOT_QUICK, main
from scripts.bench_suite.contestants import CONTESTANTS
from scripts.bench_suite.servers import ROOT
from tests.scripts.bench_suite.test_figures import findings

MARKS = "before\n<!-- bench: scripts/bench --write -->\n<!-- end of bench -->\nafter\n"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    run = CliRunner().invoke(main, ["--only", "ours-bf16,vlm"])
    assert run.exit_code == 2
    assert "vlm not known" in run.output


def test_names_are_names_once() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(NAMES) > NOT_QUICK
    assert {contestant.family for contestant in CONTESTANTS} == {"causal", "classifier"}


def test_earlier_findings_are_shown_again(tmp_path: Path) -> None:
    found = tmp_path / "bench.json"
    found.write_bytes(msgspec.json.encode(findings()))
    run = CliRunner().invoke(main, ["--from", str(found)])
    assert run.exit_code == 1  # a contestant was skipped
    assert "Not measured: card: it did not start" in run.output
    again = CliRunner().invoke(main, ["--from", str(found), "--json"])
    assert msgspec.json.decode(again.stdout, type=type(findings())) == findings()


def test_the_page_gets_tables_plot_and_json(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text(MARKS)
    page.write(findings(), tmp_path)
    text = (tmp_path / "performance.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "**ours, bf16**" in text
    assert "naive" in (tmp_path / "bench.svg").read_text()
    assert msgspec.json.decode((tmp_path / "bench.json").read_bytes(), type=type(findings())) == (
        findings()
    )


def test_the_page_has_the_marks_and_shows_the_plot() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    assert "](bench.svg)" in text
    assert (ROOT / "docs" / "bench.svg").is_file()
    assert page.with_tables(text, "new\n") != text
