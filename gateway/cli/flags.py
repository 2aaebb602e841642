"""The flags that say which model, shared by `serve`, `rerank` and `verify`, as settings."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exits
from gateway.cli.say import report

if TYPE_CHECKING:
    from gateway.config import Settings

Tree = dict[str, Any]


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags that describe how a model is loaded. What they allow, the settings say."""
    for option in reversed(
        (
            click.option("--dtype", metavar="FORMAT", help="auto, fp32, bf16, fp16 or int8."),
            click.option(
                "--device",
                "devices",
                metavar="DEVICE",
                multiple=True,
                help="auto, cpu, cpu:N (socket), cuda, cuda:N or mps; repeat for several.",
            ),
            click.option("--replicas", type=int, help="Shards in total; default one per device."),
            click.option("--threads", type=int, help="Compute threads of each shard."),
            click.option("--canary", metavar="MODE", help="full, own or numeric."),
            click.option(
                "--engine", metavar="NAME", help="auto, causal, classifier, openvino, onnx or fake."
            ),
        )
    ):
        command = option(command)
    return command


def parse_model(text: str) -> tuple[str, str]:
    """Return name and source of `NAME=SOURCE` or `SOURCE`.

    Without a name a hub id is its own name, and a folder goes by its last part.
    """
    name, equals, source = text.partition("=")
    if equals and name and not name.startswith((".", "/", "~")):
        return name, source
    if text.startswith("embedded:"):
        return text.replace(":", "-", 1), text
    folder = Path(text).expanduser()
    if text.startswith((".", "/", "~")) or folder.is_dir():
        return re.sub(r"[^A-Za-z0-9._-]", "-", folder.resolve().name).lstrip("._-") or "model", text
    return text, text


def model_trees(models: Sequence[str], options: Mapping[str, Any]) -> dict[str, Tree]:
    """Return the `models` section that `--model` and the flags beside it describe."""
    said = {key: value for key, value in options.items() if value not in (None, ())}
    if "devices" in said:
        said["devices"] = list(said["devices"])
    trees: dict[str, Tree] = {}
    for name, source in map(parse_model, models):
        if name in trees:
            raise click.BadParameter(
                f"{name} is named twice; use NAME=SOURCE to tell them apart",
                param_hint="--model",
            )
        trees[name] = {"source": source, **said}
    return trees


def one_model(
    model: str | None, options: Mapping[str, Any], file: Path | None = None
) -> "Settings":
    """Return settings with one model, the one asked for or the default one; end if they are wrong.

    It is not calibrated: what is looked at are margins, and its calibration may not be there yet.

    Args:
        model: `NAME=SOURCE`, `SOURCE`, or a name that is known: of `file`, else an embedded one.
        options: what the flags beside it say.
        file: a configuration in which the model is described.
    """
    from gateway.config import ConfigError, Settings, load

    try:
        known = load(file) if file else Settings()
        name, source = parse_model(model or next(iter(known.models)))
        if found := known.model_name(model):
            name, source = found, known.models[found].source
        elif file:
            raise click.BadParameter(
                f"{model} is not in {file}; it has {', '.join(known.models)}", param_hint="MODEL"
            )
        settings = load(file, {"models": model_trees([f"{name}={source}"], options)})
    except ConfigError as error:
        report(error.problems)
        raise SystemExit(exits.CONFIG) from None
    # Whatever other models there may be; and without those its requests would go to beside it.
    only = {name: settings.models[name].model_copy(update={"shadow": None})}
    alone = {"models": only, "splits": {}, "default_model": None, "calibration_file": None}
    return settings.model_copy(update=alone)
