"""Writes the findings into docs/: tables of performance.md, their plot, and the JSON."""

from pathlib import Path

import msgspec

from scripts.bench_suite.figures import Findings
from scripts.bench_suite.plot import plot
from scripts.bench_suite.servers import ROOT
from scripts.bench_suite.table import markdown

_BEGIN, _END = "<!-- bench: scripts/bench --write -->\n", "<!-- end of bench -->\n"


def write(findings: Findings, docs: Path = ROOT / "docs") -> None:
    """Write tables, plot and JSON; everything else of the page stays as it is."""
    raw = msgspec.json.format(msgspec.json.encode(findings), indent=1)
    (docs / "bench.json").write_bytes(raw + b"\n")  # first: it took a quarter of an hour
    page = docs / "performance.md"
    page.write_text(with_tables(page.read_text(), markdown(findings)))
    plot(findings, docs / "bench.svg")


def with_tables(page: str, tables: str) -> str:
    """Return a page with other tables between its marks.

    Raises:
        ValueError: the marks are not there.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page lacks the lines {_BEGIN.strip()} and {_END.strip()}")
    return f"{before}{begin}\n{tables}\n{end}{after}"
