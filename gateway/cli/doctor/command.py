"""`gateway doctor`: obstacles to serving on this machine, each with a remedy."""

import resource
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import exit_codes
from gateway.cli.console import console, print_json, print_table
from gateway.cli.serve.port import PortUnavailable, listen
from gateway.cli.table import Column, Row, Table

if TYPE_CHECKING:
    from gateway.cli.doctor.finding import Finding
    from gateway.config import Settings
    from gateway.supervision.machine import Machine

ROOT = Path("/")
MARKS = {"good": ("ok", "green"), "note": ("note", "yellow"), "bad": ("BAD", "red")}


@click.command()
@click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    help="Configuration whose port and models are examined (default: none; env: GATEWAY_CONFIG).",
)
@click.option("--json", "as_json", is_flag=True, help="Findings as JSON instead of a table.")
def doctor(file: Path | None, as_json: bool) -> None:
    """Examine this machine before serving.

    Findings are about processor, memory, limits, GPUs and drivers, torch, port and models, with a
    remedy for each problem, and with the choices of `auto` and their reasons. Nothing is started
    except a process that imports torch.

    \b
    Exit codes:
      0  no problem prevents serving
      1  there are problems
    """
    from gateway.cli.doctor.finding import State
    from gateway.supervision.machine import read_machine

    with console(stderr=True).status("examining this machine"):
        found = list(_findings(file, read_machine()))
    has_bad = any(finding.state is State.BAD for finding in found)
    if as_json:
        whole = {"ok": not has_bad, "findings": [asdict(finding) for finding in found]}
        print_json(whole, indent=True)
    else:
        _print_table(found)
    raise SystemExit(exit_codes.REFUSED if has_bad else exit_codes.OK)


def _findings(file: Path | None, machine: "Machine") -> "Iterator[Finding]":
    from gateway.cli.doctor.compute import compute_findings, examine
    from gateway.cli.doctor.host import host_findings
    from gateway.cli.doctor.serving import problem_findings
    from gateway.config import ConfigError, calibrations_of, load

    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield from host_findings(ROOT, machine, descriptors)
    yield from compute_findings(ROOT, machine, examine("cuda:0" if machine.gpus else "cpu"))
    try:
        settings = load(file)
        calibrations_of(settings)
    except ConfigError as error:
        yield from problem_findings(error)
        return
    yield from _serving(settings, machine)


def _serving(settings: "Settings", machine: "Machine") -> "Iterator[Finding]":
    from huggingface_hub import constants

    from gateway.cli.doctor.serving import cache_finding, model_findings, port_finding
    from gateway.config import model_specs
    from gateway.supervision.machine_memory import available_memory

    yield port_finding(settings.host, settings.port, _port_problem(settings))
    yield from model_findings(settings, model_specs(settings, machine), available_memory(ROOT))
    yield cache_finding(Path(constants.HF_HUB_CACHE))


def _port_problem(settings: "Settings") -> str:
    """Return the reason why the address cannot be listened on; empty if it can."""
    try:
        listen(settings.host, settings.port).close()
    except PortUnavailable as error:
        return str(error)
    return ""


def _print_table(findings: "list[Finding]") -> None:
    from rich.text import Text

    rows: list[Row] = []
    for finding in findings:
        mark, colour = MARKS[finding.state]
        text = Text(finding.found)
        if finding.remedy:
            text.append(f"\n-> {finding.remedy}", style="bold")
        rows.append({"state": Text(mark, style=colour), "name": finding.name, "found": text})
    columns = [Column("state"), Column("name"), Column("found", prose=True)]
    print_table(Table(columns, rows, has_titles=False))
    console().print(verdict(findings))


def verdict(findings: "list[Finding]") -> str:
    """Return the last line of the table: the number of problems and notes, and what follows."""
    problems, notes = (
        sum(finding.state == state for finding in findings) for state in ("bad", "note")
    )
    noted = f"{notes} note{'' if notes == 1 else 's'}" if notes else "no notes"
    if problems == 0:
        return f"No problems, {noted}: this machine can serve."
    counted, them = ("1 problem", "it") if problems == 1 else (f"{problems} problems", "them")
    return f"{counted}, {noted}: fix {them} before serving."
