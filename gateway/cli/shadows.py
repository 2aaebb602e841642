"""`gateway compare` without data: how far the models of a running gateway agree with their shadows."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exits
from gateway.cli.admin import fetch
from gateway.cli.remote import Target
from gateway.cli.say import console, fail

if TYPE_CHECKING:
    from rich.table import Table

Shadow = dict[str, Any]

_COLUMNS = (
    "model",
    "shadow",
    "percent",
    "compared",
    "dropped",
    "failed",
    "requests",
    "tau",
    "same best",
    "overlap@10",
    "time",
)


def show_shadows(target: Target, model: str | None, *, as_json: bool) -> None:
    """Print the shadows of all models, or of one; end the command if there are none."""
    status = fetch(target, "/status")
    if not isinstance(status, dict) or "shadows" not in status:
        fail(f"{target} answers, but it is no rerank gateway with shadows", exits.REFUSED)
    found: Sequence[Shadow] = [
        one for one in status["shadows"] if model in (None, one["model"], one["shadow"])
    ]
    if as_json:
        import orjson

        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    if not found:
        whose = "no model here has a shadow" if model is None else f"{model!r} has no shadow here"
        fail(
            f'{whose}: say shadow = {{ model = "...", percent = 5 }} below [models.NAME] and '
            "`gateway reload`, or compare two models on a file with --data",
            exits.REFUSED,
        )
    if not as_json:
        _print(found)


def shadow_table(found: Sequence[Shadow]) -> "Table":
    """Return a line per pairing; agreement is over the requests compared since both serve."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(_COLUMNS):
        table.add_column(name, justify="left" if number < 2 else "right", overflow="fold")
    for one in found:
        table.add_row(*map(Text, _cells(one)))
    return table


def _print(found: Sequence[Shadow]) -> None:
    console().print(shadow_table(found))
    for one in found:
        if one["last_error"]:
            click.echo(f"{one['shadow']}, shadow of {one['model']}: {one['last_error']}", err=True)


def _cells(one: Shadow) -> Iterator[str]:
    said = one["agreement"]
    yield from (one["model"], one["shadow"], f"{one['percent']:g} %")
    yield from (str(one[name]) for name in ("compared", "dropped", "failed"))
    yield str(said["requests"])
    yield _shown(said["tau"], ".3f")
    yield _shown(said["top1"], ".1%")
    yield _shown(said["overlap"], ".1%")
    yield _shown(said["latency_ratio"], ".2f", "x")


def _shown(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"
