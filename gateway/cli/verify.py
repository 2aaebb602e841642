"""`gateway verify MODEL|URL`: are the scores right? A report, and an exit code that says it.

A model is examined in a process of its own, by `shards.verify`; a server behind a URL by what can be
asked over HTTP.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exits
from gateway.cli.flags import model_options, one_model
from gateway.cli.remote import api_key_option, read_key
from gateway.cli.say import console, fail
from gateway.cli.scorers import Refused, Unreachable
from gateway.cli.spoken import SPOKEN

if TYPE_CHECKING:
    from gateway.config import Settings

Report = dict[str, Any]

MARKS = {True: "[green]passed[/]", False: "[red]FAILED[/]", None: "[yellow]left out[/]"}


@click.command(
    epilog="Examples: `gateway verify Qwen/Qwen3-Reranker-0.6B`, `gateway verify ./my-reranker "
    "--dtype fp32 --json`, `gateway verify http://127.0.0.1:8080 --model qwen3`."
)
@click.argument("subject", metavar="MODEL|URL")
@model_options
@click.option(
    "--pairs",
    type=click.IntRange(0, 1000),
    default=32,
    show_default=True,
    help="Pairs compared with plain transformers; 0 for none.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A configuration in which MODEL is a name.",
)
@click.option("--model", help="With a URL: the name of the model there.")
@click.option(
    "--dialect", type=click.Choice(list(SPOKEN)), default="jina", help="With a URL: its API."
)
@api_key_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as one line of JSON.")
def verify(
    subject: str,
    pairs: int,
    model: str | None,
    dialect: str,
    api_key: str | None,
    config: Path | None,
    as_json: bool,
    **described: Any,
) -> None:
    """Check that a model's scores are right.

    For a folder, a Hugging Face id or an embedded model: what was loaded and from where, the
    canaries, scores in other batches, published scores, and the agreement with plain transformers in
    fp32. For a URL: the canaries, and scores in other requests.

    Exit code 0: all that could be checked is as it should be. 1: it is not, or the model cannot be
    served. 2: nothing answers at the URL.
    """
    if subject.startswith(("http://", "https://")):
        found = _remote(subject, model, dialect, api_key, described)
    else:
        if model:
            raise click.UsageError("--model goes with a URL")
        found = _local(one_model(subject, described, config), pairs)
    if as_json:
        import orjson

        click.echo(orjson.dumps(found).decode())
    else:
        show(found)
    raise SystemExit(exits.OK if found["passed"] else exits.REFUSED)


def _local(settings: "Settings", pairs: int) -> Report:
    from gateway.cli.verifier import Ended, examine
    from gateway.config import model_specs

    (spec,) = model_specs(settings)
    try:
        with _progress() as progress:
            said = examine(spec.shards[0], pairs, progress)
    except Ended as error:
        fail(str(error), exits.SOFTWARE)
    found: Report = said["report"]
    return found


def _remote(
    url: str, model: str | None, dialect: str, api_key: str | None, described: dict[str, Any]
) -> Report:
    from gateway.cli.verify_url import examine_url

    canary = described.pop("canary")
    idle = [name for name, value in described.items() if value not in (None, ())]
    if idle:
        raise click.UsageError(f"{', '.join(idle)}: the server behind the URL decides that")
    key = read_key(api_key)
    numeric = canary == "numeric"
    try:
        return examine_url(url, SPOKEN[dialect], model, key, numeric=numeric)
    except Refused as error:
        fail(str(error), exits.REFUSED)
    except Unreachable as error:
        fail(str(error), exits.DOWN)


def show(found: Report) -> None:
    """Print a report as tables."""
    from rich.table import Table

    out = console()
    facts = Table(title=f"{found['model']}", title_justify="left", show_header=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    for name, value in found["facts"].items():
        facts.add_row(name, value)
    checks = Table(show_header=False)
    for name in ("check", "outcome"):
        checks.add_column(name, style="bold" if name == "check" else "", no_wrap=True)
    checks.add_column("found")
    for check in found["checks"]:
        checks.add_row(check["name"], MARKS[check["passed"]], check["said"])
    for table in (facts, checks):
        out.print(table, markup=True)
    out.print(MARKS[found["passed"]])


def _progress() -> Any:
    """Return what shows how far an examination is: on a terminal only, and what takes long."""
    from gateway.cli.verifier import Bar, Silence

    return Bar() if sys.stderr.isatty() else Silence()
