"""`gateway check FILE`: every error of a configuration at once; nothing is started."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exits
from gateway.cli.cores import ranges
from gateway.cli.say import console, report

if TYPE_CHECKING:
    from gateway.config import ModelSpec, Problem, Settings, SplitSpec
    from gateway.machine import Machine


@click.command()
@click.argument("file", type=click.Path(path_type=Path), envvar="GATEWAY_CONFIG")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(file: Path, as_json: bool) -> None:
    """Check a configuration file, and show where its models would run on this machine.

    Exit code 0: it can be served (warnings are no errors). 78: it cannot.
    """
    from gateway.config import ConfigError, advice, load, model_specs, split_specs
    from gateway.config.load import unknown_variables
    from gateway.keys import keys_of
    from gateway.machine import read_machine
    from gateway.tls import check_pair

    machine = read_machine()
    try:
        settings = load(file)
        keys = keys_of(settings)
        specs = model_specs(settings, machine)
        check_pair(settings.tls)
    except ConfigError as error:
        _print_json([], [], [], error.problems) if as_json else report(error.problems)
        raise SystemExit(exits.CONFIG) from None
    warnings = [*unknown_variables(), *advice(settings, machine), *(keys.warnings if keys else ())]
    if as_json:
        _print_json(specs, split_specs(settings), warnings, [])
    else:
        _print_table(file, settings, machine, specs, warnings)


def _print_json(
    specs: "Sequence[ModelSpec]",
    splits: "Sequence[SplitSpec]",
    warnings: list[str],
    problems: "list[Problem] | tuple[Problem, ...]",
) -> None:
    import orjson

    found: dict[str, Any] = {
        "ok": not problems,
        "errors": [
            {"origin": one.origin, "key": one.key, "message": one.message, "remedy": one.remedy}
            for one in problems
        ],
        "warnings": warnings,
        "models": [asdict(spec) for spec in specs],
        "splits": [asdict(split) for split in splits],
    }
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


def _print_table(
    file: Path,
    settings: "Settings",
    machine: "Machine",
    specs: "tuple[ModelSpec, ...]",
    warnings: list[str],
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("model", "source", "shard", "device", "dtype", "cores", "threads"):
        table.add_column(name, overflow="fold")
    for spec in specs:
        title = f"{spec.name} (default)" if spec.default else spec.name
        if spec.shadow:
            title += f", shadow {spec.shadow.model} {spec.shadow.percent:g} %"
        for number, shard in enumerate(spec.shards):
            first = (title, spec.source) if number == 0 else ("", "")
            cells = (*first, shard.name, shard.device, shard.dtype, ranges(shard.cores))
            table.add_row(*map(Text, cells), str(shard.threads))
    out = console()
    out.print(
        Text(
            f"{file}: fine. {settings.host}, port {settings.port}. This machine: {_describe(machine)}",
            style="green",
        )
    )
    out.print(table)
    for name, split in settings.splits.items():
        weights = ", ".join(f"{model} {weight:g}" for model, weight in split.models.items())
        out.print(Text(f"split {name}: {weights}"))
    for line in warnings:
        out.print(Text(f"warning: {line}", style="yellow"))


def _describe(machine: "Machine") -> str:
    cores = sum(map(len, machine.sockets))
    return f"CPU sockets: {len(machine.sockets)}, usable cores: {cores}, CUDA: {machine.gpus}"
