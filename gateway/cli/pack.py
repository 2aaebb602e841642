"""`gateway pack` and `gateway unpack`: models as one file, for machines without a network."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import exits
from gateway.cli.flags import parse_model
from gateway.cli.say import console, fail

if TYPE_CHECKING:
    from gateway.bundle import Advance, PackedModel


@click.command(
    epilog="Example: `gateway pack Qwen/Qwen3-Reranker-0.6B dity=./dity -o bundle.tar`, carry it "
    "over, `gateway unpack bundle.tar --to /var/lib/rerank-gateway/models`."
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The bundle to write.",
)
@click.option("--revision", help="A branch, tag or commit of models from the hub.")
@click.option("--json", "as_json", is_flag=True, help="Print what was packed as JSON.")
def pack(models: tuple[str, ...], output: Path, revision: str | None, as_json: bool) -> None:
    """Pack models into one file: weights, configuration, tokenizer, and a hash of each.

    MODEL is [NAME=]SOURCE: a folder, or an id of the Hugging Face hub that `gateway download` has
    fetched. The hub itself is never asked.

    Exit code 1: one of them is no model. 73: the bundle cannot be written.
    """
    from gateway.bundle import BundleError, wanted_files
    from gateway.bundle import pack as write

    sources = [
        (name, source, _folder(source, revision)) for name, source in map(parse_model, models)
    ]
    try:
        _check_names([name for name, _, _ in sources])
        total = sum(f.stat().st_size for *_, folder in sources for f in wanted_files(folder))
        with _progress("packing", total) as advance:
            packed = write(sources, output, advance)
    except BundleError as error:
        fail(str(error), exits.REFUSED)
    except OSError as error:
        fail(f"{output} could not be written: {error}", exits.CANNOT_CREATE)
    _tell(packed, as_json)
    if not as_json:
        click.echo(f"Packed into {output}, {output.stat().st_size / 1e6:,.1f} MB.")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the models' folders go; default here.",
)
@click.option("--check", "only_check", is_flag=True, help="Compare the hashes, and write nothing.")
@click.option("--replace", is_flag=True, help="Put packed models in the place of those there.")
@click.option("--json", "as_json", is_flag=True, help="Print what was unpacked as JSON.")
def unpack(bundle: Path, folder: Path, only_check: bool, replace: bool, as_json: bool) -> None:
    """Unpack models that `gateway pack` has packed. A model gets its name when its hashes are right.

    Exit code 1: the bundle is damaged, or a model is there already. 73: nothing can be written there.
    """
    from gateway.bundle import BundleError, verify
    from gateway.bundle import unpack as write

    if not bundle.is_file():
        fail(f"there is no file {bundle}", exits.REFUSED)
    try:
        with _progress("checking" if only_check else "unpacking", bundle.stat().st_size) as advance:
            found = (
                verify(bundle, advance)
                if only_check
                else write(bundle, folder, advance, replace=replace)
            )
    except BundleError as error:
        fail(str(error), exits.REFUSED)
    except OSError as error:
        fail(f"{folder} could not be written: {error}", exits.CANNOT_CREATE)
    _tell(found, as_json)
    if not as_json and not only_check:
        click.echo("In the configuration:")
        for model in found:
            click.echo(f'\n[models."{model.name}"]\nsource = "{(folder / model.name).resolve()}"')


def _check_names(names: Sequence[str]) -> None:
    from gateway.bundle import BundleError

    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BundleError(f"{', '.join(twice)} is named twice; use NAME=SOURCE to tell them apart")


def _folder(source: str, revision: str | None) -> Path:
    """Return where a model lies on this machine."""
    from gateway.config.specs import resolve

    folder = Path(resolve(source)).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision, local_files_only=True))
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        fail(
            f"{source} is neither a folder here nor a model in the Hugging Face cache: "
            f"`gateway download {source}` fetches it",
            exits.REFUSED,
        )


@contextmanager
def _progress(what: str, total: int) -> "Iterator[Advance]":
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (f"{what} ", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda size: progress.advance(bar, size)


def _tell(models: "Sequence[PackedModel]", as_json: bool) -> None:
    if as_json:
        import orjson

        found = [{**asdict(model), "bytes": model.bytes} for model in models]
        click.echo(orjson.dumps({"models": found}).decode())
        return
    for model in models:
        click.echo(
            f"{model.name}: {len(model.files)} files, {model.bytes / 1e6:,.1f} MB, all hashes right"
        )
