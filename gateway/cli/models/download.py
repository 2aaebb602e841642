"""`gateway download MODEL`: the files that a shard needs, from the Hugging Face hub."""

import os
from pathlib import Path
from typing import NoReturn

import click

from gateway.cli import exit_codes
from gateway.cli.console import fail, print_json


@click.command()
@click.argument("model")
@click.option(
    "--revision", metavar="NAME", help="Branch, tag or commit (default: the main branch)."
)
@click.option(
    "--cache-dir",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of downloads (default: the Hugging Face cache).",
)
@click.option("--json", "as_json", is_flag=True, help="Outcome as JSON instead of text.")
def download(model: str, revision: str | None, cache_dir: Path | None, as_json: bool) -> None:
    """Download a model from the Hugging Face hub.

    It fetches weights as safetensors, configuration and tokenizer. An interrupted download goes on
    where it stopped.

    \b
    Exit codes:
      0   downloaded
      1   there is no such model, or access is denied
      69  the hub cannot be reached
    """
    folder = _download(model, revision, cache_dir)
    if not any(folder.glob("*.safetensors")):
        fail(
            f"{model} has no *.safetensors at its top level. Pickled weights (*.bin) can run code "
            "and are not loaded: look for a converted copy of the model",
            exit_codes.REFUSED,
        )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if as_json:
        print_json({"model": model, "folder": str(folder), "bytes": size})
        return
    click.echo(f"{model}: {size / 1e6:,.1f} MB in {folder}")
    name = model.rpartition("/")[2]
    source = model if cache_dir is None and revision is None else f"{name}={folder}"
    click.echo(f"Serve it: gateway serve --model {source}")


def _download(model: str, revision: str | None, cache_dir: Path | None) -> Path:
    from huggingface_hub import constants, snapshot_download

    from gateway.cli.models.bundle import UNWANTED, WANTED

    if constants.is_offline_mode() or os.environ.get("GATEWAY_OFFLINE", "") in {"1", "true"}:
        fail(
            "HF_HUB_OFFLINE or GATEWAY_OFFLINE is set, so nothing is downloaded; unset it first",
            exit_codes.UNAVAILABLE,
        )
    try:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                cache_dir=cache_dir,
                allow_patterns=list(WANTED),
                ignore_patterns=list(UNWANTED),
            )
        )
    except Exception as error:  # the hub's own errors, its HTTP client's, the disk's
        _fail(error, model, revision)


def _fail(error: Exception, model: str, revision: str | None) -> NoReturn:
    """End the command with the reason of an error; raise an unknown error again."""
    from huggingface_hub import errors

    reasons: tuple[tuple[type[Exception], str, int], ...] = (
        (
            errors.GatedRepoError,
            f"{model} is limited to accounts that accepted its terms: accept them at "
            f"https://huggingface.co/{model} and set HF_TOKEN",
            exit_codes.REFUSED,
        ),
        (
            errors.RevisionNotFoundError,
            f"{model} has no revision {revision!r}",
            exit_codes.REFUSED,
        ),
        (
            errors.RepositoryNotFoundError,
            f"there is no model {model} on the hub, or it is private: check the spelling, or set "
            "HF_TOKEN",
            exit_codes.REFUSED,
        ),
        (
            errors.HFValidationError,
            f"{model!r} is no id of the hub: an id has the form OWNER/NAME",
            exit_codes.REFUSED,
        ),
        (
            errors.LocalEntryNotFoundError,
            f"the hub cannot be reached, and {model} is not in the cache: check the network and "
            "its proxy settings (HTTPS_PROXY, HF_ENDPOINT)",
            exit_codes.UNAVAILABLE,
        ),
        (
            errors.HfHubHTTPError,
            f"the hub answered with an error: {error}",
            exit_codes.UNAVAILABLE,
        ),
        (OSError, f"{model} could not be downloaded or written: {error}", exit_codes.UNAVAILABLE),
    )
    for kind, message, code in reasons:
        if isinstance(error, kind):
            fail(message, code)
    raise error
