"""`gateway convert MODEL`: an OpenVINO model of a cross-encoder, checked against the checkpoint."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import console, fail, print_json


@click.command()
@click.argument("model")
@click.option(
    "--revision",
    metavar="NAME",
    help="Branch, tag or commit on the hub (default: the main branch).",
)
@click.option(
    "--format",
    "form",
    metavar="FORMAT",
    type=click.Choice(["openvino"]),
    default="openvino",
    help="Format of the result: openvino (default: openvino).",
)
@click.option(
    "--dtype",
    metavar="FORMAT",
    type=click.Choice(["fp32", "bf16", "int8"]),
    default="bf16",
    help="Number format of the computation: fp32, bf16 or int8 (default: bf16).",
)
@click.option(
    "--calibration",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Pairs for the ranges of int8, a JSON object per line with `query` and `documents` "
    "(default: built-in pairs).",
)
@click.option(
    "--anyway", is_flag=True, help="An int8 result even if it does not rank as bf16 does."
)
@click.option("--json", "as_json", is_flag=True, help="Outcome as JSON instead of text.")
def convert(
    model: str,
    revision: str | None,
    form: str,
    dtype: str,
    calibration: Path | None,
    anyway: bool,
    as_json: bool,
) -> None:
    """Convert a cross-encoder for OpenVINO, faster on some CPUs.

    MODEL is a folder, or a downloaded model of the hub. The result goes into the folder of the
    model, below `openvino/DTYPE`. It is compared with the checkpoint on batches of different
    shapes; int8 is also tested on known pairs, which it must rank as bf16 does. Only a result that
    passed is served: by `engine = "openvino"`, or by `engine = "auto"` where it is faster. A result
    of --anyway needs `int8_anyway = true`.

    \b
    Exit codes:
      0   converted and checked
      1   the model cannot be converted, or the check failed
      69  the hub cannot be reached
      70  the conversion ended without an outcome
      78  an option, a file or an installed package is at fault
    """
    if (calibration or anyway) and dtype != "int8":
        fail("--calibration and --anyway are for --dtype int8", exit_codes.CONFIG)
    command = [sys.executable, "-m", "shards.tools.convert", model, "--dtype", dtype]
    command += ["--revision", revision] if revision else []
    command += ["--calibration", str(calibration)] if calibration else []
    command += ["--anyway"] if anyway else []
    with _progress() as show_stage:
        found = _run(command, show_stage)
    if as_json:
        print_json({"model": model, "format": form, "dtype": dtype} | found)
        return
    record = found["record"]
    click.echo(f"{model}: {dtype} for OpenVINO {record['openvino']} in {found['folder']}")
    for note in found["notes"]:
        click.echo(note)
    suffices = not record["agreement"] or record["agreement"]["suffices"]
    click.echo(
        f'Serve it: engine = "openvino", dtype = "{dtype}"'
        + ("" if suffices else ", int8_anyway = true, for it does not rank as bf16 does")
    )


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    terminal = console(stderr=True)
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as progress:
        line = progress.add_task("starting", total=None)
        yield lambda stage: progress.update(line, description=stage)


def _run(command: list[str], show_stage: Callable[[str], None]) -> dict[str, Any]:
    """Run the conversion and show its stages; return its last message, or end the command."""
    import orjson

    last: dict[str, Any] = {}
    with (
        TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            last = orjson.loads(line)
            show_stage(str(last.get("stage", "")))
        process.wait()
        errors.seek(0)
        log = errors.read().decode(errors="replace")
    if "refused" in last:
        fail(last["refused"], _EXITS.get(process.returncode, exit_codes.REFUSED))
    if process.returncode or "record" not in last:
        sys.stderr.write(log)
        fail(f"the conversion ended with exit code {process.returncode}", exit_codes.SOFTWARE)
    return last


_EXITS = {75: exit_codes.UNAVAILABLE, 78: exit_codes.CONFIG}
"""Exit codes of the command by those of the process."""
