"""Options that describe a model, and the `models` section of the settings that they stand for."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import report
from shards.wire.cached_id import cached_id

if TYPE_CHECKING:
    from gateway.config import Settings

Tree = dict[str, Any]

MODEL_KEYS = ("dtype", "devices", "replicas", "threads", "canary", "engine")
"""Keys of a model's settings that `model_options` fill, in the order of the help."""


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe how a model is loaded; the settings check their values."""
    for option in reversed(
        (
            click.option(
                "--dtype",
                metavar="FORMAT",
                help="Number format: auto, fp32, bf16, fp16 or int8 (default: auto).",
            ),
            click.option(
                "--device",
                "devices",
                metavar="DEVICE",
                multiple=True,
                help="Device: auto, cpu, cpu:N (socket N), cuda, cuda:N or mps; repeatable "
                "(default: auto).",
            ),
            click.option(
                "--replicas",
                metavar="N",
                type=int,
                help="Number of shards in total (default: one per device).",
            ),
            click.option(
                "--threads",
                metavar="N",
                type=int,
                help="Number of compute threads per shard (default: one per core of the shard).",
            ),
            click.option(
                "--canary",
                metavar="MODE",
                help="Check of known pairs before a model serves: full, own or numeric "
                "(default: full).",
            ),
            click.option(
                "--engine",
                metavar="NAME",
                help="Engine: auto, causal, classifier, embedder, openvino, onnx or fake "
                "(default: auto).",
            ),
        )
    ):
        command = option(command)
    return command


def parse_model(text: str) -> tuple[str, str]:
    """Return name and source of `NAME=SOURCE` or `SOURCE`.

    Without a name a hub id is its own name, also that of a folder in a hub's cache. The name of any
    other folder is its last part.
    """
    name, equals, source = text.partition("=")
    if equals and name and not name.startswith((".", "/", "~")):
        return name, source
    if text.startswith("embedded:"):
        return text.replace(":", "-", 1), text
    folder = Path(text).expanduser()
    if text.startswith((".", "/", "~")) or folder.is_dir():
        folder = folder.resolve()
        name = cached_id(folder) or folder.name
        return re.sub(r"[^A-Za-z0-9._/-]", "-", name).lstrip("._-") or "model", text
    return text, text


def model_trees(models: Sequence[str], options: Mapping[str, Any]) -> dict[str, Tree]:
    """Return the `models` section that `--model` and the options beside it describe."""
    given = {key: value for key, value in options.items() if value not in (None, ())}
    if "devices" in given:
        given["devices"] = list(given["devices"])
    trees: dict[str, Tree] = {}
    for name, source in map(parse_model, models):
        if name in trees:
            raise click.BadParameter(
                f"{name} is named twice; use NAME=SOURCE to tell them apart",
                param_hint="--model",
            )
        trees[name] = {"source": source, **given}
    return trees


def one_model(
    model: str | None, options: Mapping[str, Any], file: Path | None = None
) -> "Settings":
    """Return settings with one model, by default the first; end the command if they are wrong.

    The model is not calibrated: its margins are examined, and a calibration may not exist yet.

    Args:
        model: `NAME=SOURCE`, `SOURCE`, or a name: one in `file`, else an embedded model.
        options: values of the model options.
        file: a configuration that describes the model.
    """
    from gateway.config import ConfigError, Settings, load, model_name

    try:
        known = load(file) if file else Settings()
        name, source = parse_model(model or next(iter(known.models)))
        if found := model_name(known.models, model or known.default_model):
            name, source = found, known.models[found].source
        elif file:
            raise click.BadParameter(
                f"{model} is not in {file}; it has {', '.join(known.models)}", param_hint="MODEL"
            )
        settings = load(file, {"models": model_trees([f"{name}={source}"], options)})
    except ConfigError as error:
        report(error.problems)
        raise SystemExit(exit_codes.CONFIG) from None
    # Other models, splits and shadows of the configuration would start shards that are not needed.
    only = {name: settings.models[name].model_copy(update={"shadow": None})}
    isolated = {"models": only, "splits": {}, "default_model": None, "calibration_file": None}
    return settings.model_copy(update=isolated)
