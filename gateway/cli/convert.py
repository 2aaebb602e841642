"""`gateway convert MODEL`: make what the engine `openvino` serves, and check it against the checkpoint."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click

from gateway.cli import exits
from gateway.cli.say import console, fail


@click.command()
@click.argument("model")
@click.option("--revision", help="A branch, tag or commit on the hub; default the main branch.")
@click.option(
    "--format", "form", type=click.Choice(["openvino"]), default="openvino", show_default=True
)
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "bf16", "int8"]),
    default="bf16",
    show_default=True,
    help="What it is computed in.",
)
@click.option(
    "--calibration",
    type=click.Path(dir_okay=False, path_type=Path),
    help="For int8: pairs of your own, a JSON object a line with `query` and `documents`.",
)
@click.option("--anyway", is_flag=True, help="Keep int8 though it does not rank as bf16 does.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def convert(
    model: str,
    revision: str | None,
    form: str,
    dtype: str,
    calibration: Path | None,
    anyway: bool,
    as_json: bool,
) -> None:
    """Convert a cross-encoder for OpenVINO, which is faster on some CPUs.

    MODEL is a folder, or an id on the hub that was downloaded. The result is put into its folder,
    `openvino/DTYPE`, and checked against the checkpoint on batches of different shapes; int8 also
    for whether it ranks known pairs as bf16 does. Only what passed is served, by `engine =
    "openvino"`, or by `engine = "auto"` where it is faster; what was kept by --anyway needs
    `int8_anyway = true`.

    Exit code 1: the model cannot be converted, or the check failed. 69: the hub cannot be reached.
    78: an option, a file or an installed package is at fault.
    """
    if (calibration or anyway) and dtype != "int8":
        fail("--calibration and --anyway are for --dtype int8", exits.CONFIG)
    command = [sys.executable, "-m", "shards.convert", model, "--dtype", dtype]
    command += ["--revision", revision] if revision else []
    command += ["--calibration", str(calibration)] if calibration else []
    command += ["--anyway"] if anyway else []
    with _progress() as show:
        found = _run(command, show)
    if as_json:
        import orjson

        click.echo(orjson.dumps({"model": model, "format": form, "dtype": dtype} | found).decode())
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


def _run(command: list[str], show: Callable[[str], None]) -> dict[str, Any]:
    import orjson

    last: dict[str, Any] = {}
    with (
        TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            last = orjson.loads(line)
            show(str(last.get("stage", "")))
        process.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if "refused" in last:
        fail(last["refused"], _EXITS.get(process.returncode, exits.REFUSED))
    if process.returncode or "record" not in last:
        sys.stderr.write(said)
        fail(f"the conversion ended with exit code {process.returncode}", exits.SOFTWARE)
    return last


_EXITS = {75: exits.UNAVAILABLE, 78: exits.CONFIG}
