"""`gateway download MODEL`: fetch what a shard needs from the hub, and nothing else."""

import os
from pathlib import Path
from typing import NoReturn

import click

from gateway.cli import exits
from gateway.cli.say import fail


@click.command()
@click.argument("model")
@click.option("--revision", help="A branch, tag or commit; default the main branch.")
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to keep it; default the Hugging Face cache.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def download(model: str, revision: str | None, cache_dir: Path | None, as_json: bool) -> None:
    """Download a model from the Hugging Face hub: weights as safetensors, configuration, tokenizer.

    A download that was interrupted goes on where it stopped. Exit code 1: there is no such model,
    or it may not be had. 69: the hub cannot be reached.
    """
    folder = _fetch(model, revision, cache_dir)
    if not any(folder.glob("*.safetensors")):
        fail(
            f"{model} has no *.safetensors at its top level. Pickled weights (*.bin) can run code "
            "and are not loaded: look for a converted copy of the model",
            exits.REFUSED,
        )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if as_json:
        import orjson

        found = {"model": model, "folder": str(folder), "bytes": size}
        click.echo(orjson.dumps(found).decode())
        return
    click.echo(f"{model}: {size / 1e6:,.1f} MB in {folder}")
    source = model if cache_dir is None and revision is None else f"{_name(model)}={folder}"
    click.echo(f"Serve it: gateway serve --model {source}")


def _name(model: str) -> str:
    return model.rpartition("/")[2]


def _fetch(model: str, revision: str | None, cache_dir: Path | None) -> Path:
    from huggingface_hub import constants, snapshot_download

    from gateway.bundle import UNWANTED, WANTED

    if constants.is_offline_mode() or os.environ.get("GATEWAY_OFFLINE", "") in {"1", "true"}:
        fail(
            "HF_HUB_OFFLINE or GATEWAY_OFFLINE is set, so the hub is not asked; unset it to "
            "download",
            exits.UNAVAILABLE,
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
        _explain(error, model, revision)


def _explain(error: Exception, model: str, revision: str | None) -> NoReturn:
    from huggingface_hub import errors

    reasons: tuple[tuple[type[Exception], str, int], ...] = (
        (
            errors.GatedRepoError,
            f"{model} is only for accounts that accepted its terms: accept them at "
            f"https://huggingface.co/{model} and set HF_TOKEN",
            exits.REFUSED,
        ),
        (
            errors.RevisionNotFoundError,
            f"{model} has no revision {revision!r}",
            exits.REFUSED,
        ),
        (
            errors.RepositoryNotFoundError,
            f"there is no model {model} on the hub, or it is private: check the spelling, or set "
            "HF_TOKEN",
            exits.REFUSED,
        ),
        (
            errors.HFValidationError,
            f"{model!r} is no id of the hub: it has the form OWNER/NAME",
            exits.REFUSED,
        ),
        (
            errors.LocalEntryNotFoundError,
            f"the hub cannot be reached, and {model} is not in the cache: check the network and "
            "its proxy settings (HTTPS_PROXY, HF_ENDPOINT)",
            exits.UNAVAILABLE,
        ),
        (
            errors.HfHubHTTPError,
            f"the hub answered with an error: {error}",
            exits.UNAVAILABLE,
        ),
        (OSError, f"{model} could not be downloaded or written: {error}", exits.UNAVAILABLE),
    )
    for kind, message, code in reasons:
        if isinstance(error, kind):
            fail(message, code)
    raise error
