"""`gateway doctor`: what stands against serving on this machine, and what to do about it."""

import resource
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import exits
from gateway.cli.port import PortUnavailable, listen
from gateway.cli.say import console

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.doctor.finding import Finding
    from gateway.machine import Machine

ROOT = Path("/")
MARKS = {"good": ("ok", "green"), "note": ("note", "yellow"), "bad": ("BAD", "red")}


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    help="The configuration whose port and models are looked at.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(file: Path | None, as_json: bool) -> None:
    """Examine this machine: processor, memory, limits, GPUs and drivers, torch, port, models.

    It says what `auto` would choose here and why, and a remedy for whatever is not well. Nothing is
    started but a process that imports torch.

    Exit code 0: nothing stands against serving. 1: something does.
    """
    from gateway.doctor.finding import State
    from gateway.machine import read_machine

    with console(stderr=True).status("looking at this machine"):
        found = list(_findings(file, read_machine()))
    _print_json(found) if as_json else _print_table(found)
    has_bad = any(one.state is State.BAD for one in found)
    raise SystemExit(exits.REFUSED if has_bad else exits.OK)


def _findings(file: Path | None, machine: "Machine") -> "Iterator[Finding]":
    from gateway.config import ConfigError, calibrations_of, load
    from gateway.doctor.compute import compute_findings, examine
    from gateway.doctor.host import host_findings
    from gateway.doctor.serving import problem_findings

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

    from gateway.config import model_specs
    from gateway.doctor.host import available_memory
    from gateway.doctor.serving import cache_finding, model_findings, port_finding

    yield port_finding(settings.host, settings.port, _why_not(settings))
    yield from model_findings(settings, model_specs(settings, machine), available_memory(ROOT))
    yield cache_finding(Path(constants.HF_HUB_CACHE))


def _why_not(settings: "Settings") -> str:
    """Return why the address cannot be listened on; empty if it can."""
    try:
        listen(settings.host, settings.port).close()
    except PortUnavailable as error:
        return str(error)
    return ""


def _print_json(found: "list[Finding]") -> None:
    import orjson

    whole = {
        "ok": all(one.state != "bad" for one in found),
        "findings": [asdict(one) for one in found],
    }
    click.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())


def _print_table(found: "list[Finding]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for one in found:
        mark, colour = MARKS[one.state]
        what = Text(one.found)
        if one.remedy:
            what.append(f"\n-> {one.remedy}", style="bold")
        table.add_row(Text(mark, style=colour), Text(one.name), what)
    out = console()
    out.print(table)
    counts = {state: sum(one.state == state for one in found) for state in MARKS}
    verdict = "nothing stands against serving" if not counts["bad"] else "this must be mended first"
    out.print(f"{counts['bad']} bad, {counts['note']} notes: {verdict}")
