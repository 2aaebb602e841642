"""`gateway check FILE`: every error of a configuration at once; nothing is started."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import console, print_json, print_table, report
from gateway.cli.operate.formatting import core_ranges
from gateway.cli.table import Column, Row, Table

if TYPE_CHECKING:
    from gateway.config import CascadeSpec, ModelSpec, Problem, Settings, SplitSpec
    from gateway.supervision.machine import Machine


@click.command()
@click.argument("file", type=click.Path(path_type=Path), envvar="GATEWAY_CONFIG")
@click.option("--json", "as_json", is_flag=True, help="Findings as JSON instead of a table.")
def check(file: Path, as_json: bool) -> None:
    """Check a configuration file without starting anything.

    A table shows where the models would run on this machine. FILE may come from GATEWAY_CONFIG.

    \b
    Exit codes:
      0   the configuration can be served, perhaps with warnings
      78  the configuration has errors; all of them are listed
    """
    from gateway.config import ConfigError, advice, cascade_specs, load, model_specs, split_specs
    from gateway.config.load import unknown_variables
    from gateway.http.keys import keys_of
    from gateway.http.tls import check_pair
    from gateway.supervision.machine import read_machine

    machine = read_machine()
    try:
        settings = load(file)
        keys = keys_of(settings)
        specs = model_specs(settings, machine)
        of_tls = check_pair(settings.tls)
    except ConfigError as error:
        _print_json(error.problems) if as_json else report(error.problems)
        raise SystemExit(exit_codes.CONFIG) from None
    problems = _unreadable(file, specs)
    if problems:
        _print_json(problems) if as_json else report(problems)
        raise SystemExit(exit_codes.CONFIG)
    of_keys = keys.warnings if keys else ()
    warnings = [*unknown_variables(), *advice(settings, machine), *of_keys, *of_tls]
    if as_json:
        _print_json([], specs, split_specs(settings), cascade_specs(settings), warnings)
    else:
        _print_table(file, settings, machine, specs, warnings)


def _unreadable(file: Path, specs: "Sequence[ModelSpec]") -> "list[Problem]":
    """Return an error for each model on this machine that a shard would refuse at its start."""
    from gateway.cli.doctor.serving import folder_of
    from gateway.cli.models.reading import read_checkpoints
    from gateway.config import Problem

    here = [spec for spec in specs if folder_of(spec.source)]
    return [
        Problem(
            path=("models", name, "source"),
            message=reading.refused,
            remedy="A shard would refuse this at its start",
            origin=str(file),
        )
        for name, reading in read_checkpoints(here).items()
        if reading.refused
    ]


def _print_json(
    problems: "Sequence[Problem]",
    specs: "Sequence[ModelSpec]" = (),
    splits: "Sequence[SplitSpec]" = (),
    cascades: "Sequence[CascadeSpec]" = (),
    warnings: Sequence[str] = (),
) -> None:
    errors = [
        {
            "origin": problem.origin,
            "key": problem.key,
            "message": problem.message,
            "remedy": problem.remedy,
        }
        for problem in problems
    ]
    found: dict[str, Any] = {
        "ok": not problems,
        "errors": errors,
        "warnings": warnings,
        "models": [asdict(spec) for spec in specs],
        "splits": [asdict(split) for split in splits],
        "cascades": [asdict(cascade) for cascade in cascades],
    }
    print_json(found, indent=True)


_TEXTS = ("model", "source", "shard", "device", "dtype", "cores")


def _print_table(
    file: Path,
    settings: "Settings",
    machine: "Machine",
    specs: "tuple[ModelSpec, ...]",
    warnings: list[str],
) -> None:
    from rich.text import Text

    columns = [*map(Column, _TEXTS), Column("threads", right=True)]
    rows: list[Row] = []
    for spec in specs:
        name = f"{spec.name} (default)" if spec.default else spec.name
        if spec.shadow:
            name += f", shadow {spec.shadow.model} {spec.shadow.percent:g} %"
        for number, shard in enumerate(spec.shards):
            first = (name, spec.source) if number == 0 else ("", "")
            cells = (*first, shard.name, shard.device, shard.dtype, core_ranges(shard.cores))
            rows.append({**dict(zip(_TEXTS, cells, strict=True)), "threads": str(shard.threads)})
    address = f"{settings.host}, port {settings.port}"
    out = console()
    out.print(
        Text(f"{file}: no errors. {address}. This machine: {_describe(machine)}", style="green")
    )
    print_table(Table(columns, rows))
    for name, split in settings.splits.items():
        weights = ", ".join(f"{model} {weight:g}" for model, weight in split.models.items())
        out.print(Text(f"split {name}: {weights}"))
    for name, cascade in settings.cascades.items():
        out.print(
            Text(f"cascade {name}: {cascade.first}, then {cascade.then} (best {cascade.keep})")
        )
    for line in warnings:
        out.print(Text(f"warning: {line}", style="yellow"))


def _describe(machine: "Machine") -> str:
    cores = sum(map(len, machine.sockets))
    return f"CPU sockets: {len(machine.sockets)}, usable cores: {cores}, CUDA: {machine.gpus}"
