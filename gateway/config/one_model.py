"""Settings with a single model, for a command or a program that scores by itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.config.load import load
from gateway.config.model_sections import model_name
from gateway.config.settings import Settings
from gateway.domain.model_source import parse_model


class NotInFile(Exception):
    """The configuration describes no such model; the message lists those that it has."""


class NamedTwice(Exception):
    """Two sources have the same name; the message has the remedy."""


def model_trees(models: Sequence[str], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the `models` section with these models, each with the same options.

    Raises:
        NamedTwice: two of them have the same name.
    """
    given = {key: value for key, value in options.items() if value not in (None, ())}
    if "devices" in given:
        given["devices"] = list(given["devices"])
    trees: dict[str, dict[str, Any]] = {}
    for name, source in map(parse_model, models):
        if name in trees:
            raise NamedTwice(f"{name} is named twice; use NAME=SOURCE to tell them apart")
        trees[name] = {"source": source, **given}
    return trees


def settings_of_one(
    model: str | None, options: Mapping[str, Any], file: Path | None = None
) -> Settings:
    """Return settings with one model, by default the first.

    The model is not calibrated: its margins are examined, and a calibration may not exist yet.

    Args:
        model: `NAME=SOURCE`, `SOURCE`, or a name: one in `file`, else an embedded model.
        options: values of the model's keys.
        file: a configuration that describes the model.

    Raises:
        ConfigError: the settings are wrong.
        NotInFile: the file does not describe the model.
    """
    known = load(file) if file else Settings()
    name, source = parse_model(model or next(iter(known.models)))
    if found := model_name(known.models, model or known.default_model):
        name, source = found, known.models[found].source
    elif file:
        raise NotInFile(f"{model} is not in {file}; it has {', '.join(known.models)}")
    settings = load(file, {"models": model_trees([f"{name}={source}"], options)})
    # Other models, splits and shadows of the configuration would start shards that are not needed.
    only = {name: settings.models[name].model_copy(update={"shadow": None})}
    isolated = {"models": only, "splits": {}, "default_model": None, "calibration_file": None}
    return settings.model_copy(update=isolated)
