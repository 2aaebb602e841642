"""Options that describe a model, and the `models` section of the settings that they stand for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import report

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
                help="Device: auto, cpu, cpu:N (socket N), cuda, cuda:N, mlx or mps; repeatable "
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


def model_trees(models: Sequence[str], options: Mapping[str, Any]) -> dict[str, Tree]:
    """Return the `models` section that `--model` and the options beside it describe."""
    from gateway.config.one_model import NamedTwice
    from gateway.config.one_model import model_trees as trees_of

    try:
        return trees_of(models, options)
    except NamedTwice as error:
        raise click.BadParameter(str(error), param_hint="--model") from None


def one_model(
    model: str | None, options: Mapping[str, Any], file: Path | None = None
) -> "Settings":
    """Return settings with one model; end the command if they are wrong (`settings_of_one`)."""
    from gateway.config import ConfigError
    from gateway.config.one_model import NotInFile, settings_of_one

    try:
        return settings_of_one(model, options, file)
    except NotInFile as error:
        raise click.BadParameter(str(error), param_hint="MODEL") from None
    except ConfigError as error:
        report(error.problems)
        raise SystemExit(exit_codes.CONFIG) from None
