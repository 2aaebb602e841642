"""`gateway bench`: speed of a running gateway, or of another rerank server."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import exit_codes
from gateway.cli.console import console, fail, print_json, print_table
from gateway.cli.help_text import examples
from gateway.cli.plots import check_plot, plot_option, save_plot
from gateway.cli.remote import DEFAULT_URL, api_key_option, read_key
from gateway.cli.table import Column, Row, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gateway.cli.bench.figures import Figures, Reply
    from gateway.cli.bench.load import OnReply, Run, Span, Target
    from gateway.cli.bench.workloads import Request

NAMES = ("short3", "rag20", "rag100", "repeat", "mixed")
WARM_UP_REQUESTS = 3
SLICES = 60
"""Parts of time into which a plot divides a run."""


@click.command(
    epilog=examples(
        "gateway bench --workload rag20 --clients 4",
        "gateway bench http://10.0.0.5:8080 --workload mixed --rate 50 --seconds 60 \\",
        "    --plot run.svg",
        "gateway bench --file requests.jsonl --json",
    )
)
@click.argument("address", metavar="[URL]", required=False)
@click.option(
    "--url",
    metavar="URL",
    envvar="GATEWAY_URL",
    help=f"The same as URL (default: {DEFAULT_URL}; env: GATEWAY_URL).",
)
@click.option(
    "--workload",
    "workloads",
    metavar="NAME",
    multiple=True,
    type=click.Choice(NAMES),
    help="Kind of requests: short3, rag20, rag100, repeat or mixed; repeatable (default: all).",
)
@click.option(
    "--file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help='Requests of your own, JSONL of {"query": "...", "documents": ["...", ...]} '
    "(default: none).",
)
@click.option("--model", metavar="NAME", help="Model (default: that of the server).")
@click.option(
    "--clients",
    metavar="N",
    type=click.IntRange(1, 10_000),
    help="Number of clients in a closed loop (default: 1).",
)
@click.option(
    "--rate",
    metavar="RATE",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests per second in an open loop (default: a closed loop).",
)
@click.option(
    "--seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    help="Seconds per workload (default: 10).",
)
@click.option(
    "--requests",
    metavar="N",
    type=click.IntRange(1),
    help="Limit of requests per workload (default: none).",
)
@click.option(
    "--seed",
    metavar="N",
    type=int,
    default=1,
    help="Seed of texts and times of requests (default: 1).",
)
@api_key_option
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON instead of a table.")
@plot_option("Plot of latency and throughput over time, .svg or .png (default: none).")
def bench(
    address: str | None,
    url: str | None,
    workloads: tuple[str, ...],
    file: Path | None,
    model: str | None,
    clients: int | None,
    rate: float | None,
    seconds: float,
    requests: int | None,
    seed: int,
    api_key: str | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Measure throughput, latency and errors of a server.

    The server is a gateway, or any that answers POST /v1/rerank. A closed loop (--clients) finds
    the throughput, an open loop (--rate) the latency under a load: there the time of a request
    counts from the moment at which it was due.

    \b
    Exit codes:
      0  every request was answered
      1  some requests failed; the figures are printed all the same
      2  nothing answers
    """
    from gateway.cli.bench.load import Span, Target
    from gateway.client.address import complete_url

    if clients and rate:
        raise click.UsageError("--clients makes a closed loop and --rate an open one: give one")
    if plot:
        check_plot(plot)
    url = complete_url(address or url or DEFAULT_URL).rstrip("/")
    target = Target(url=url, model=model, key=read_key(api_key))
    sources = dict(_sources(workloads, file, seed))
    _warm_up(target, sources)
    span = Span(seconds=seconds, requests=requests)
    runs = {
        name: _run(target, name, source, span, clients=clients, rate=rate, seed=seed)
        for name, source in sources.items()
    }
    found = {name: _figures(run) for name, run in runs.items()}
    _print(found, as_json=as_json)
    if plot:
        _plot(plot, f"{model or 'the default model'} at {url}", runs)
    raise SystemExit(
        exit_codes.REFUSED if any(each.failed for each in found.values()) else exit_codes.OK
    )


def _sources(
    workloads: tuple[str, ...], file: Path | None, seed: int
) -> "Iterator[tuple[str, Iterator[Request]]]":
    """Yield the name and the requests of each workload."""
    from gateway.cli.bench.workloads import requests, requests_of

    if file:
        try:
            yield file.name, requests_of(file.read_text("utf-8").splitlines(), file.name)
        except (OSError, ValueError) as error:
            raise click.BadParameter(str(error), param_hint="--file") from None
    for name in workloads or (() if file else NAMES):
        yield name, requests(name, seed)


def _warm_up(target: "Target", sources: "dict[str, Iterator[Request]]") -> None:
    """Send a few requests before the measurement, and end the command if none is answered."""
    from gateway.cli.bench.load import Run, Span

    for source in sources.values():
        run = Run(target, source, Span(seconds=120, requests=WARM_UP_REQUESTS), lambda _: None)
        try:
            asyncio.run(run.closed(1))
        except ValueError:  # aiohttp's, whose message does not say that the URL is wrong
            fail(f"{target.url} is no URL: it looks like {DEFAULT_URL}", exit_codes.DOWN)
        codes = {reply.code for reply in run.replies}
        if codes == {0}:
            fail(
                f"nothing answers at {target.url}: start a gateway with `gateway serve`",
                exit_codes.DOWN,
            )
        if 200 not in codes:
            fail(
                f"{target.url}/v1/rerank answers {', '.join(map(str, sorted(codes)))}: try one "
                f"request with `gateway rerank --url {target.url}`, which shows the error",
                exit_codes.REFUSED,
            )


def _run(
    target: "Target",
    name: str,
    source: "Iterator[Request]",
    span: "Span",
    *,
    clients: int | None,
    rate: float | None,
    seed: int,
) -> "Run":
    from gateway.cli.bench.load import Run

    with _progress(name, span) as on_reply:
        run = Run(target, source, span, on_reply)
        asyncio.run(run.open(rate, seed) if rate else run.closed(clients or 1))
    return run


@contextmanager
def _progress(name: str, span: "Span") -> "Iterator[OnReply]":
    """Show the progress of a run: in requests if their number is given, else in time."""
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

        def advance(reply: "Reply") -> None:
            nonlocal done, failed
            done, failed = done + 1, failed + (reply.code != 200)
            reached = done if span.requests else reply.started + reply.seconds
            progress.update(bar, completed=reached, done=done, failed=failed)

        yield advance


def _figures(run: "Run") -> "Figures":
    from gateway.cli.bench.figures import figures

    return figures(run.replies, run.seconds)


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
        print_json({name: asdict(each) for name, each in found.items()}, indent=True)
        return
    columns = [Column("workload"), *(Column(title, right=True) for title, _ in COLUMNS)]
    rows: list[Row] = [
        {
            "workload": name,
            **{title: f"{getattr(each, key):,.5g}" for title, key in COLUMNS},
            "codes": ", ".join(f"{code}: {count}" for code, count in each.codes.items()),
        }
        for name, each in found.items()
    ]
    print_table(Table([*columns, Column("codes")], rows))


def _plot(path: Path, title: str, runs: "dict[str, Run]") -> None:
    def draw(figure: "Figure") -> None:
        above, below = figure.subplots(2, 1)
        for name, run in runs.items():
            good = [reply for reply in run.replies if reply.code == 200]
            times = [reply.started for reply in good]
            latencies = [reply.seconds * 1000 for reply in good]
            above.plot(times, latencies, ".", label=name, markersize=3)
            width = max(run.seconds / SLICES, 0.1)
            below.plot(*_rates(good, width), label=name)
        above.set(ylabel="latency, ms", yscale="log")
        below.set(ylabel="documents per second", xlabel="seconds", ylim=(0, None))
        above.legend()

    save_plot(path, title, draw)


def _rates(replies: "Sequence[Reply]", width: float) -> tuple[list[float], list[float]]:
    """Return times and documents per second, in slices of time by the end of each request."""
    totals: dict[int, int] = {}
    for reply in replies:
        slice_ = int((reply.started + reply.seconds) / width)
        totals[slice_] = totals.get(slice_, 0) + reply.documents
    last = max(totals, default=-1)
    return (
        [(number + 0.5) * width for number in range(last + 1)],
        [totals.get(number, 0) / width for number in range(last + 1)],
    )
