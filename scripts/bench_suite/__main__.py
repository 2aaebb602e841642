"""`scripts/bench`: our server and its baselines on the same weights, in one go and in turn.

It makes full-size checkpoints with random weights, installs the baselines in environments of their
own, compares scores, and then measures over HTTP, one server at a time.
"""

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from scripts.bench_suite.contestants import CONTESTANTS, Contestant, Places
from scripts.bench_suite.figures import Findings
from scripts.bench_suite.machine import ceilings, this_machine
from scripts.bench_suite.page import write
from scripts.bench_suite.parts import (
    MOST_WORDS,
    cost_per_document,
    document_counts,
    measure_busy,
    overhead,
    padding_share,
)
from scripts.bench_suite.rounds import Plan, Say, measured
from scripts.bench_suite.table import markdown
from scripts.engine_bench import Figure, linear_flop
from scripts.full_size import lasting, qwen3_06b, rubert_base

PARTS = ("documents", "gateway")
NAMES = (*(one.name for one in CONTESTANTS), *PARTS)
_NEEDED = {"naive", "bert-naive"}
NOT_QUICK = {
    "openvino-loop-fp32",
    *(one.name for one in CONTESTANTS if one.rounds_alone and one.name not in _NEEDED),
}
_OVERHEAD_SECONDS = {True: 4, False: 10}
_MOST_DOCUMENTS = {True: 1000, False: 10_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The selection of one run.

    Attributes:
        names: contestants and parts to measure.
        busy: whether our servers are also measured beside a busy process.
        causal, classifier: checkpoints; made at full size where missing.
    """

    names: frozenset[str]
    rounds: int
    quick: bool
    busy: bool
    causal: Path | None
    classifier: Path | None

    def contestants(self, family: str) -> list[Contestant]:
        """Return the contestants of a family that are to be measured."""
        return [one for one in CONTESTANTS if one.family == family and one.name in self.names]

    def plan(self, family: str) -> Plan:
        """Return what the contestants of a family are asked."""
        if family == "classifier":
            return Plan(
                workloads=["rag40"], workloads_alone=["rag40"], rounds=self.rounds, repeats=False
            )
        return Plan(
            workloads=["short3", "rag20"],
            once=[] if self.quick else ["rag100"],
            workloads_alone=["short3", "rag20"],
            rounds=self.rounds,
        )

    def steps(self) -> int:
        """Return how many times the bar moves."""
        chosen = [*self.contestants("causal"), *self.contestants("classifier")]
        asked = sum(1 + (one.rounds_alone or self.rounds) for one in chosen)
        counts = 2 * len(document_counts(_MOST_DOCUMENTS[self.quick]))
        return asked + ("gateway" in self.names) + counts * ("documents" in self.names)


def run(choice: Choice, say: Say) -> Findings:
    """Measure the selection."""
    findings = Findings(machine=this_machine(ceilings()), rounds=choice.rounds)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for family in ("causal", "classifier"):
            if choice.contestants(family):
                _measure_family(findings, choice, family, Path(scratch), say)
        if "documents" in choice.names:
            _measure_documents(findings, choice, Path(scratch), say)
    if "gateway" in choice.names:
        say("the gateway by itself")
        try:
            findings.overhead = overhead(_OVERHEAD_SECONDS[choice.quick])
        except RuntimeError as error:
            findings.skipped["gateway"] = str(error)
    return findings


def _measure_family(
    findings: Findings, choice: Choice, family: str, scratch: Path, say: Say
) -> None:
    places = Places(checkpoint=_checkpoint(choice, family), scratch=scratch)
    contestants = choice.contestants(family)

    def look() -> None:
        findings.machine_reached(ceilings())

    with measured(contestants, places, choice.plan(family), say, look) as field:
        if family == "causal":
            findings.token_flop = _token_flop(places.checkpoint)
            if choice.busy:
                measure_busy(field, contestants)
            findings.padding_share = padding_share(field, "ours-bf16")
    findings.contestants |= field.figures
    findings.skipped |= field.skipped


def _measure_documents(findings: Findings, choice: Choice, scratch: Path, say: Say) -> None:
    """Measure a tiny model and one of usual size; the latter gets less text, to end in time."""
    most = _MOST_DOCUMENTS[choice.quick]
    tiny = Places(checkpoint=Path("embedded:qwen3"), scratch=scratch)
    findings.seconds_per_document = cost_per_document(tiny, "bf16", say, most=most)
    usual = Places(checkpoint=_checkpoint(choice, "classifier"), scratch=scratch)
    findings.classifier_seconds_per_document = cost_per_document(
        usual, "int8", say, most=most, most_words=MOST_WORDS
    )


def _checkpoint(choice: Choice, family: str) -> Path:
    if family == "causal":
        return choice.causal or qwen3_06b(lasting("qwen3-0.6b"))
    return choice.classifier or rubert_base(lasting("rubert-base"))


def _token_flop(folder: Path) -> tuple[float, float]:
    return (
        linear_flop(folder, Figure(1.0, tokens=1, documents=0)),
        linear_flop(folder, Figure(1.0, tokens=0, documents=1)),
    )


@contextmanager
def _bar(steps: int) -> Iterator[Callable[[str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:44}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("measuring", total=steps)

        def say(what: str) -> None:
            progress.update(task, advance=1, description=what)

        yield say


def _names(_: click.Context, __: click.Parameter, value: str | None) -> frozenset[str] | None:
    names = frozenset(value.split(",")) if value else None
    unknown = sorted((names or set()) - set(NAMES))
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)} not known; known are {', '.join(NAMES)}")
    return names


@click.command(
    epilog="Examples: `scripts/bench --only ours-bf16,vllm --rounds 5`, `scripts/bench --write`."
)
@click.option("--only", "names", callback=_names, help="Names of contestants and parts, by comma.")
@click.option("--rounds", type=click.IntRange(1), help="Default 3; 1 with --quick.")
@click.option("--quick", is_flag=True, help="One round of the most telling ones, no rag100.")
@click.option("--busy/--no-busy", default=None, help="rag20 beside a busy process; not if --quick.")
@click.option("--causal", type=click.Path(path_type=Path), help="A checkpoint of your own.")
@click.option("--classifier", type=click.Path(path_type=Path), help="A checkpoint of your own.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--write", "written", is_flag=True, help="Write docs/performance.md and its plot.")
@click.option(
    "--from",
    "earlier",
    type=click.Path(path_type=Path, exists=True),
    help="Measure nothing; take what was found from JSON.",
)
def main(
    names: frozenset[str] | None,
    rounds: int | None,
    quick: bool,
    busy: bool | None,
    causal: Path | None,
    classifier: Path | None,
    as_json: bool,
    written: bool,
    earlier: Path | None,
) -> None:
    """Measure our server and its baselines on the same weights, one at a time, in turn.

    Exit code 1: a contestant could not be measured or computed wrong scores; the rest is shown.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server outlives us
    choice = Choice(
        names=names or frozenset(NAMES) - (NOT_QUICK if quick else set()),
        rounds=rounds or (1 if quick else 3),
        quick=quick,
        busy=not quick if busy is None else busy,
        causal=causal,
        classifier=classifier,
    )
    if earlier:
        findings = msgspec.json.decode(earlier.read_bytes(), type=Findings)
    else:
        with _bar(choice.steps()) as say:
            findings = run(choice, say)
    if written:
        write(findings)
    as_text = msgspec.json.format(msgspec.json.encode(findings), indent=1).decode()
    click.echo(as_text if as_json else markdown(findings))
    sys.exit(1 if findings.skipped else 0)


if __name__ == "__main__":
    main()
