"""`gateway verify MODEL|URL`: a report on whether the scores are right, and an exit code for it.

A model is examined in a process of its own, by `shards.tools.verify`; a server behind a URL by
requests over HTTP.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import console, fail, print_json, print_table
from gateway.cli.help_text import examples
from gateway.cli.model_options import model_options, one_model
from gateway.cli.remote import api_key_option, read_key
from gateway.cli.score.client_apis import CLIENT_APIS
from gateway.cli.score.scorer import Refused, Unreachable
from gateway.cli.score.scorer_options import dialect_option
from gateway.cli.table import Column, Row, Table

if TYPE_CHECKING:
    from gateway.cli.models.verify_process import ProgressBar, SilentProgress
    from gateway.config import Settings

Report = dict[str, Any]

MARKS = {True: ("passed", "green"), False: ("FAILED", "red"), None: ("left out", "yellow")}


@click.command(
    epilog=examples(
        "gateway verify Qwen/Qwen3-Reranker-0.6B",
        "gateway verify ./my-reranker --dtype fp32 --json",
        "gateway verify qwen3 --url http://127.0.0.1:8080",
    )
)
@click.argument("subject", metavar="[MODEL|URL]", required=False)
@model_options
@click.option(
    "--pairs",
    metavar="N",
    type=click.IntRange(0, 1000),
    default=32,
    help="Number of pairs compared with plain transformers, 0 for none (default: 32).",
)
@click.option(
    "--unquantised",
    metavar="SOURCE",
    help="Folder or id of MODEL before it was quantised, to compare with (default: none).",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Configuration that describes MODEL (default: none).",
)
@click.option(
    "--model", metavar="NAME", help="Model of the server at URL (default: that of the server)."
)
@click.option(
    "--url",
    metavar="URL",
    envvar="GATEWAY_URL",
    help="URL of a server, instead of the argument; MODEL is then a name there (default: none; "
    "env: GATEWAY_URL, for a command without the argument).",
)
@dialect_option("API of the server at URL")
@api_key_option
@click.option("--json", "as_json", is_flag=True, help="Report as one line of JSON.")
def verify(
    subject: str | None,
    pairs: int,
    unquantised: str | None,
    model: str | None,
    url: str | None,
    dialect: str,
    api_key: str | None,
    config: Path | None,
    as_json: bool,
    **described: Any,
) -> None:
    """Check that a model's scores are right.

    For a folder, a Hugging Face id or an embedded model the report has: loaded files and their
    origin, canaries, scores in other batches, published scores, and the agreement with plain
    transformers in fp32; of a quantised model also with the model before, if that is given. For a
    URL it has: canaries, and scores in other requests.

    \b
    Exit codes:
      0   every check passed or was left out
      1   a check failed, or the model cannot be served
      2   nothing answers at the URL
      70  the examination ended without a report
      78  the configuration is wrong
    """
    subject, url, model = _subject(subject, url, model)
    if url and unquantised:
        raise click.UsageError("--unquantised needs a MODEL that is loaded here")
    if unquantised and not pairs:
        raise click.UsageError("--unquantised needs --pairs of 1 at least")
    if url:
        found = _remote(url, model, dialect, api_key, described)
    elif model:
        raise click.UsageError("--model needs a URL")
    else:
        found = _local(one_model(subject, described, config), pairs, unquantised or "")
    if as_json:
        print_json(found)
    else:
        show(found)
    raise SystemExit(exit_codes.OK if found["passed"] else exit_codes.REFUSED)


def _subject(
    subject: str | None, url: str | None, model: str | None
) -> tuple[str | None, str | None, str | None]:
    """Return the model to load here, or the URL and the name of the model there."""
    source = click.get_current_context().get_parameter_source("url")
    is_given = source is click.core.ParameterSource.COMMANDLINE
    if subject is None and not url:
        raise click.UsageError("name a MODEL, or give --url URL")
    if subject and subject.startswith(("http://", "https://")):
        if is_given:
            raise click.UsageError("the URL is given twice: as the argument and as --url")
        return None, subject, model
    if subject and not is_given:
        return subject, None, model
    if subject and model:
        raise click.UsageError("the model at --url is named twice: as MODEL and as --model")
    return None, url, model or subject


def _local(settings: "Settings", pairs: int, unquantised: str) -> Report:
    from gateway.cli.models.verify_process import NoReport, examine
    from gateway.config import model_specs

    (spec,) = model_specs(settings)
    try:
        with _progress() as progress:
            report: Report = examine(spec.shards[0], pairs, progress, unquantised)
    except NoReport as error:
        fail(str(error), exit_codes.SOFTWARE)
    return report


def _remote(
    url: str, model: str | None, dialect: str, api_key: str | None, described: dict[str, Any]
) -> Report:
    from gateway.cli.models.verify_url import examine_url

    canary = described.pop("canary")
    idle = [name for name, value in described.items() if value not in (None, ())]
    if idle:
        raise click.UsageError(f"{', '.join(idle)}: the server behind the URL decides that")
    key = read_key(api_key)
    numeric = canary == "numeric"
    try:
        return examine_url(url, CLIENT_APIS[dialect], model, key, numeric=numeric)
    except Refused as error:
        fail(str(error), exit_codes.REFUSED)
    except Unreachable as error:
        fail(str(error), exit_codes.DOWN)


def show(report: Report) -> None:
    """Print a report as tables."""
    from rich.text import Text

    facts: list[Row] = [
        {"fact": Text(name, style="bold"), "value": value}
        for name, value in report["facts"].items()
    ]
    checks: list[Row] = [
        {
            "check": Text(check["name"], style="bold"),
            "outcome": Text(*MARKS[check["passed"]]),
            "found": check["said"],
        }
        for check in report["checks"]
    ]
    of_facts = (Column("fact"), Column("value", prose=True))
    of_checks = (Column("check"), Column("outcome"), Column("found", prose=True))
    print_table(Table(of_facts, facts, title=str(report["model"]), has_titles=False))
    click.echo()
    print_table(Table(of_checks, checks, has_titles=False))
    console().print(Text(*MARKS[report["passed"]]))


def _progress() -> "ProgressBar | SilentProgress":
    """Return a progress bar on a terminal, else a silent one."""
    from gateway.cli.models.verify_process import ProgressBar, SilentProgress

    return ProgressBar() if sys.stderr.isatty() else SilentProgress()
