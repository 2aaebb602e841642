"""Kill, stop and poison a real gateway under load, and check that every invariant held.

    scripts/chaos --seed 7 --minutes 10

The gateway, its shards and its clients are real, the model is the fake engine with faults; see
`tests.system.chaos`. The same seed does the same things at the same times. Exit code 0: every
invariant held. 1: something was lost, wrong, late or left behind; the table and the list below it
say what.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.system.chaos import chaos
from tests.system.chaos_cache import CACHE_KINDS, CacheKind
from tests.system.chaos_report import Report

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN_PROBLEMS = 20


@click.command(help=__doc__)
@click.option("--seed", default=1, show_default=True, help="What happens, and when.")
@click.option("--minutes", default=1.0, show_default=True, help="For how long.")
@click.option("--replicas", default=2, show_default=True, help="Shards of the model.")
@click.option("--clients", default=8, show_default=True, help="How many send at a time.")
@click.option(
    "--score-cache",
    "cache",
    type=click.Choice(CACHE_KINDS),
    default="memory",
    show_default=True,
    help="Its parts; `stores` is disk and Redis. Redis is killed and stopped again and again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for configuration and log of the gateway; without it they are deleted.",
)
def main(
    seed: int,
    minutes: float,
    replicas: int,
    clients: int,
    cache: CacheKind,
    as_json: bool,
    keep: Path | None,
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = _run(folder, seed, minutes * 60, replicas, clients, cache)
    if as_json:
        click.echo(json.dumps(figures(report), indent=2))
    else:
        from rich.console import Console

        Console().print(table(report))
    for problem in report.problems[:_SHOWN_PROBLEMS]:
        click.echo(problem, err=True)
    raise SystemExit(bool(report.problems))


def _run(
    folder: Path, seed: int, seconds: float, replicas: int, clients: int, cache: CacheKind
) -> Report:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("chaos", total=1.0)
        return asyncio.run(
            chaos(
                folder,
                seed=seed,
                seconds=seconds,
                replicas=replicas,
                clients=clients,
                cache=cache,
                on_progress=lambda share, answered: progress.update(
                    bar, completed=share, description=f"{answered} answered"
                ),
            )
        )


def figures(report: Report) -> dict[str, object]:
    """Return what the table shows."""
    assert report.before is not None
    assert report.after is not None
    before, after = report.before, report.after
    return {
        "seed": report.seed,
        "seconds": round(report.seconds, 1),
        "requests": len(report.rows),
        "kills and stops": report.kills_and_stops,
        **{f"  {kind.value}": count for kind, count in sorted(report.faults.items(), key=str)},
        "restarts": report.restarts,
        **{f"  {cause}": count for cause, count in report.deaths.most_common()},
        "Redis killed or stopped": report.redis_ends,
        **{f"  scores {source}": count for source, count in report.sources.most_common()},
        "lost": report.lost,
        "answered twice or not as logged": sum(one.startswith("I1:") for one in report.problems),
        "innocents failed": report.innocents_failed,
        **{f"deaths by {poison!r}": deaths for poison, deaths in report.poison_deaths.items()},
        "p50 ms": round(1000 * report.seconds_at(0.5), 1),
        "p99 ms": round(1000 * report.seconds_at(0.99), 1),
        "slowest innocent ms": round(1000 * report.seconds_at(1.0), 1),
        "latest after a deadline ms": round(
            1000 * max((row.late_seconds for row in report.rows), default=0.0), 1
        ),
        "processes": f"{before.processes} -> {after.processes}",
        "descriptors": f"{before.descriptors} -> {after.descriptors}",
        "files in /dev/shm": f"{len(before.shared_memory)} -> {len(after.shared_memory)}",
        "memory MiB": f"{before.memory_bytes >> 20} -> {after.memory_bytes >> 20}",
        "problems": len(report.problems),
    }


def table(report: Report) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table("what", "figure", box=SIMPLE_HEAD)
    for name, value in figures(report).items():
        shown.add_row(name, str(value))
    return shown


if __name__ == "__main__":
    main()
