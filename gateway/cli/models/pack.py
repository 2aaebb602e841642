"""`gateway pack` and `gateway unpack`: models as one file, for machines without network."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import exit_codes
from gateway.cli.console import console, fail, print_json
from gateway.cli.help_text import examples
from gateway.domain.model_source import parse_model

if TYPE_CHECKING:
    from gateway.cli.models.bundle import Advance, PackedModel


@click.command(
    epilog=examples(
        "gateway pack Qwen/Qwen3-Reranker-0.6B dity=./dity -o bundle.tar",
        "gateway unpack bundle.tar --to /var/lib/rerank-gateway/models",
    )
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Bundle to write.",
)
@click.option(
    "--revision",
    metavar="NAME",
    help="Branch, tag or commit of models from the hub (default: the main branch).",
)
@click.option(
    "--json", "as_json", is_flag=True, help="List of packed files as JSON instead of text."
)
def pack(models: tuple[str, ...], output: Path, revision: str | None, as_json: bool) -> None:
    """Pack models into one file, for machines without network.

    The file has weights, configuration and tokenizer of each model, and a hash of each file. MODEL
    is [NAME=]SOURCE: a folder, or a model that `gateway download` has fetched. Nothing is
    downloaded.

    \b
    Exit codes:
      0   packed
      1   a source is no model
      73  the bundle cannot be written
    """
    from gateway.cli.models.bundle import BundleError, wanted_files
    from gateway.cli.models.bundle import pack as write

    sources = [
        (name, source, _folder(source, revision)) for name, source in map(parse_model, models)
    ]
    try:
        _check_names([name for name, _, _ in sources])
        total = sum(file.stat().st_size for *_, folder in sources for file in wanted_files(folder))
        with _progress("packing", total) as advance:
            packed = write(sources, output, advance)
    except BundleError as error:
        fail(str(error), exit_codes.REFUSED)
    except OSError as error:
        fail(f"{output} could not be written: {error}", exit_codes.CANNOT_CREATE)
    _print(packed, as_json)
    if not as_json:
        click.echo(f"Packed into {output}, {output.stat().st_size / 1e6:,.1f} MB.")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the folders of the models (default: .).",
)
@click.option(
    "--check", "only_check", is_flag=True, help="Comparison of the hashes only; nothing is written."
)
@click.option("--replace", is_flag=True, help="Replacement of models that are there already.")
@click.option(
    "--max-bytes",
    metavar="N",
    type=click.IntRange(min=1),
    help="Limit of the size of all files together (default: 200000000000).",
)
@click.option(
    "--json", "as_json", is_flag=True, help="List of unpacked files as JSON instead of text."
)
def unpack(
    bundle: Path,
    folder: Path,
    only_check: bool,
    replace: bool,
    max_bytes: int | None,
    as_json: bool,
) -> None:
    """Unpack models that `gateway pack` has packed.

    The folders of the models get their names after all hashes have been compared, all or none.

    \b
    Exit codes:
      0   unpacked, or the hashes are right
      1   the bundle is damaged, or a model is there already
      73  the folder cannot be written
    """
    from gateway.cli.models.bundle import BundleError
    from gateway.cli.models.unbundle import MOST_BYTES, verify
    from gateway.cli.models.unbundle import unpack as write

    if not bundle.is_file():
        fail(f"there is no file {bundle}", exit_codes.REFUSED)
    limit = MOST_BYTES if max_bytes is None else max_bytes
    try:
        with _progress("checking" if only_check else "unpacking", bundle.stat().st_size) as advance:
            found = (
                verify(bundle, advance, most_bytes=limit)
                if only_check
                else write(bundle, folder, advance, replace=replace, most_bytes=limit)
            )
    except BundleError as error:
        fail(str(error), exit_codes.REFUSED)
    except OSError as error:
        fail(f"{folder} could not be written: {error}", exit_codes.CANNOT_CREATE)
    _print(found, as_json)
    if not as_json and not only_check:
        click.echo("In the configuration:")
        for model in found:
            click.echo(f'\n[models."{model.name}"]\nsource = "{(folder / model.name).resolve()}"')


def _check_names(names: Sequence[str]) -> None:
    from gateway.cli.models.bundle import BundleError

    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BundleError(f"{', '.join(twice)} is named twice; use NAME=SOURCE to tell them apart")


def _folder(source: str, revision: str | None) -> Path:
    """Return the folder of a model on this machine; end the command if there is none."""
    from gateway.config.specs import resolve

    folder = Path(resolve(source)).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import errors, snapshot_download

    from gateway.cli.models.bundle import UNWANTED, WANTED

    try:
        return Path(
            snapshot_download(
                source,
                revision=revision,
                allow_patterns=list(WANTED),  # else all files of the repository must be there
                ignore_patterns=list(UNWANTED),
                local_files_only=True,
            )
        )
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        fail(
            f"{source} is neither a folder here nor a model in the Hugging Face cache: "
            f"`gateway download {source}` fetches it",
            exit_codes.REFUSED,
        )


@contextmanager
def _progress(title: str, total: int) -> "Iterator[Advance]":
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (f"{title} ", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda size: progress.advance(bar, size)


def _print(models: "Sequence[PackedModel]", as_json: bool) -> None:
    if as_json:
        print_json({"models": [{**asdict(model), "bytes": model.bytes} for model in models]})
        return
    for model in models:
        click.echo(
            f"{model.name}: {len(model.files)} files, {model.bytes / 1e6:,.1f} MB, all hashes right"
        )
