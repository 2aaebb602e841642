"""`gateway bench`: how fast a running gateway, or another rerank server, answers."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import exits
from gateway.cli.remote import DEFAULT_URL
from gateway.cli.say import console, fail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gateway.bench.figures import Answer, Figures
    from gateway.bench.load import Note, Run, Span, Target
    from gateway.bench.workloads import Asked

NAMES = ("short3", "rag20", "rag100", "repeat", "mixed")
WARM_UP_REQUESTS = 3
SLICES = 60
"""Into how many parts of time a plot divides a run."""


@click.command(
    epilog="Examples: `gateway bench --workload rag20 --clients 4`, "
    "`gateway bench http://10.0.0.5:8080 --workload mixed --rate 50 --seconds 60 --plot run.svg`, "
    "`gateway bench --file requests.jsonl --json`."
)
@click.argument("url", envvar="GATEWAY_URL", default=DEFAULT_URL)
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    type=click.Choice(NAMES),
    help="What is asked; repeat for several. Default short3, rag20, rag100, repeat and mixed.",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help='Your own requests: JSONL of {"query": "...", "documents": ["...", ...]}.',
)
@click.option("--model", help="The model, by name; default the server's default.")
@click.option("--clients", type=click.IntRange(1, 10_000), help="A closed loop; default of 1.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="An open loop: requests a second."
)
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True
)
@click.option("--requests", type=click.IntRange(1), help="At most so many of each workload.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the texts and moments.")
@click.option("--key", envvar="RERANK_API_KEY", help="An API key; better in RERANK_API_KEY.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="Write latencies and throughput over time, as .svg or .png.",
)
def bench(
    url: str,
    workloads: tuple[str, ...],
    file: Path | None,
    model: str | None,
    clients: int | None,
    rate: float | None,
    seconds: float,
    requests: int | None,
    seed: int,
    key: str | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Measure requests, documents and tokens a second, latencies, and errors by code.

    A closed loop (--clients) finds the throughput, an open one (--rate) the latency under a load:
    there a request's time counts from the moment at which it was to be sent.

    Exit code 0: every request was answered. 1: some failed; the figures are printed all the same.
    2: nothing answers.
    """
    from gateway.bench.load import Span, Target

    if clients and rate:
        raise click.UsageError("--clients makes a closed loop and --rate an open one: give one")
    if plot:
        _check(plot)
    target = Target(url=url.rstrip("/"), model=model, key=key)
    asked = dict(_asked(workloads, file, seed))
    _greet(target, asked)
    span = Span(seconds=seconds, requests=requests)
    runs = {
        name: _run(target, name, source, span, clients=clients, rate=rate, seed=seed)
        for name, source in asked.items()
    }
    found = {name: _figures(run) for name, run in runs.items()}
    _print(found, as_json=as_json)
    if plot:
        _plot(plot, runs)
    raise SystemExit(exits.REFUSED if any(one.failed for one in found.values()) else exits.OK)


def _check(plot: Path) -> None:
    from gateway.plots import CannotPlot, check_plot

    try:
        check_plot(plot)
    except CannotPlot as error:
        raise click.BadParameter(str(error), param_hint="--plot") from None


def _asked(
    workloads: tuple[str, ...], file: Path | None, seed: int
) -> "Iterator[tuple[str, Iterator[Asked]]]":
    """Yield names and requests."""
    from gateway.bench.workloads import requests, requests_of

    if file:
        try:
            yield file.name, requests_of(file.read_text("utf-8").splitlines(), file.name)
        except (OSError, ValueError) as error:
            raise click.BadParameter(str(error), param_hint="--file") from None
    for name in workloads or (() if file else NAMES):
        yield name, requests(name, seed)


def _greet(target: "Target", asked: "dict[str, Iterator[Asked]]") -> None:
    """Ask a little before the clock starts: caches are warm, and mistakes are told at once."""
    from gateway.bench.load import Run, Span

    for source in asked.values():
        run = Run(target, source, Span(seconds=120, requests=WARM_UP_REQUESTS), lambda _: None)
        try:
            asyncio.run(run.closed(1))
        except ValueError:  # aiohttp's, and it does not say that it is the address that is wrong
            fail(f"{target.url} is no URL: it looks like {DEFAULT_URL}", exits.DOWN)
        codes = {answer.code for answer in run.answers}
        if codes == {0}:
            fail(f"nothing answers at {target.url}: start it with `gateway serve`", exits.DOWN)
        if 200 not in codes:
            fail(
                f"{target.url}/v1/rerank answers {', '.join(map(str, sorted(codes)))}: try one "
                f"request with `gateway rerank --url {target.url}`, which shows the error",
                exits.REFUSED,
            )


def _run(
    target: "Target",
    name: str,
    source: "Iterator[Asked]",
    span: "Span",
    *,
    clients: int | None,
    rate: float | None,
    seed: int,
) -> "Run":
    from gateway.bench.load import Run

    with _progress(name, span) as note:
        run = Run(target, source, span, note)
        asyncio.run(run.open(rate, seed) if rate else run.closed(clients or 1))
    return run


@contextmanager
def _progress(name: str, span: "Span") -> "Iterator[Note]":
    """Show how far a run is: in requests if they are counted, else in time."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]} requests, {task.fields[failed]} failed"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        bar = progress.add_task(name, total=span.requests or span.seconds, done=0, failed=0)
        done, failed = 0, 0

        def note(answer: "Answer") -> None:
            nonlocal done, failed
            done, failed = done + 1, failed + (answer.code != 200)
            reached = done if span.requests else answer.started + answer.seconds
            progress.update(bar, completed=reached, done=done, failed=failed)

        yield note


def _figures(run: "Run") -> "Figures":
    from gateway.bench.figures import figures

    return figures(run.answers, run.seconds)


COLUMNS = (
    ("requests/s", "requests_per_second"),
    ("documents/s", "documents_per_second"),
    ("tokens/s", "tokens_per_second"),
    ("p50 ms", "p50_ms"),
    ("p95 ms", "p95_ms"),
    ("p99 ms", "p99_ms"),
    ("requests", "requests"),
)


def _print(found: "dict[str, Figures]", *, as_json: bool) -> None:
    if as_json:
        import orjson

        whole = {name: asdict(one) for name, one in found.items()}
        click.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("workload")
    for title, _ in COLUMNS:
        table.add_column(title, justify="right")
    table.add_column("codes")
    for name, one in found.items():
        cells = (f"{getattr(one, key):,.5g}" for _, key in COLUMNS)
        table.add_row(name, *cells, ", ".join(f"{c}: {n}" for c, n in one.codes.items()))
    console().print(table)


def _plot(path: Path, runs: "dict[str, Run]") -> None:
    from gateway.plots import save_plot

    def draw(figure: "Figure") -> None:
        above, below = figure.subplots(2, 1)
        for name, run in runs.items():
            good = [answer for answer in run.answers if answer.code == 200]
            spots = [answer.started for answer in good]
            above.plot(spots, [a.seconds * 1000 for a in good], ".", label=name, markersize=3)
            width = max(run.seconds / SLICES, 0.1)
            below.plot(*_rates(good, width), label=name)
        above.set(ylabel="latency, ms", yscale="log")
        below.set(ylabel="documents a second", xlabel="seconds", ylim=(0, None))
        above.legend()

    save_plot(path, draw)


def _rates(answers: "Sequence[Answer]", width: float) -> tuple[list[float], list[float]]:
    """Return documents a second in slices of time, by when they were answered."""
    totals: dict[int, int] = {}
    for answer in answers:
        slice_ = int((answer.started + answer.seconds) / width)
        totals[slice_] = totals.get(slice_, 0) + answer.documents
    last = max(totals, default=-1)
    return (
        [(number + 0.5) * width for number in range(last + 1)],
        [totals.get(number, 0) / width for number in range(last + 1)],
    )
