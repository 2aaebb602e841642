"""Loading of settings: flags before environment before file before defaults.

Each source is a nested dict of the same shape, with a name for errors. The sources are merged, and
errors are collected in rounds: pydantic reports wrong single keys; then the same settings without
those keys are validated again, so that contradictions between the other keys are in the same list.
An operator fixes a file once, not once per error.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from gateway.config.abandonable import read_text, reading
from gateway.config.cascades import CascadeSettings
from gateway.config.model_sections import (
    CanarySettings,
    ModelSettings,
    ShadowSettings,
    SplitSettings,
)
from gateway.config.problems import ConfigError, Problem, likely, shown, suggestion
from gateway.config.problems import Path as KeyPath
from gateway.config.settings import EMBEDDED, Settings

PREFIX = "GATEWAY_"
FILES = (
    *("keys_file", "calibration_file", "admin_socket"),
    *("score_cache_path", "score_cache_secret_file"),
)
TLS_FILES = ("certificate", "key")
"""Keys that name a file."""

NOT_SETTINGS = frozenset({"GATEWAY_CONFIG", "GATEWAY_CPU", "GATEWAY_URL"})
"""Variables of the command line and of shards that are no settings."""

MESSAGES = {
    "string_pattern_mismatch": "this is none of the allowed forms",
    "model_type": "this should be a section with keys",
    "dict_type": "this should be a section with keys",
}
"""Messages that replace pydantic's, by pydantic's error type."""

NAMED: Mapping[str, type[BaseModel]] = {
    "models": ModelSettings,
    "splits": SplitSettings,
    "cascades": CascadeSettings,
}
"""Classes of the sections below a name that the operator chooses."""

NEEDED = {
    "models": "source = ...",
    "splits": "models = { ... }",
    "cascades": "first = ... and then = ...",
}
"""The keys without which such a section is not valid."""

BELOW_MODEL: Mapping[object, type[BaseModel]] = {
    "canaries": CanarySettings,
    "shadow": ShadowSettings,
}
"""Classes of the sections inside a model's, by key."""

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """One source of settings.

    Attributes:
        kind: `file`, `environment` or `flags`.
        name: name in errors.
        tree: the values, in the shape of `Settings`.
    """

    kind: str
    name: str
    tree: Tree

    def origin(self, path: KeyPath) -> str:
        """Return the name of this source in an error about a key."""
        if self.kind == "environment":
            return f"environment variable {PREFIX}{'__'.join(map(str, path)).upper()}"
        if self.kind == "flags":
            return "flag --model" if path[0] == "models" else f"flag --{path[0]}".replace("_", "-")
        return self.name

    def holds(self, path: KeyPath) -> bool:
        """Return whether this source has the key, or one below it."""
        tree: Any = self.tree
        for part in path:
            if not isinstance(tree, Mapping) or part not in tree:
                return False
            tree = tree[part]
        return True


def working_folder() -> Path:
    """Return the working directory; change to `/` if it was deleted, as no path can begin there."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        os.chdir("/")
        return Path("/")


def load(
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Return the settings of this process.

    Args:
        file: a TOML file; `None` for none.
        flags: values of the command line, in the shape of `Settings`; no `None` values.
        folder: where relative paths of environment and flags begin; `None` for the working
            directory.

    Raises:
        ConfigError: with every problem.
    """
    folder = folder or working_folder()
    sources = [
        Source("environment", "HF_HUB_OFFLINE", _hub_offline()),
        *([_read_file(file)] if file else []),
        _read_environment(folder),
        Source("flags", "flags", _anchored(dict(flags or {}), folder)),
    ]
    merged: Tree = {}
    for source in sources:
        merged = _merge(merged, source.tree)
    if merged.get("models") == {}:  # on purpose, so that a reload may remove all others
        merged["models"] = dict(EMBEDDED)
    return _validate(merged, sources)


def unknown_variables() -> list[str]:
    """Return one line for each GATEWAY_ variable that is no setting.

    Such variables are no errors: Kubernetes sets such variables for every Service called gateway.
    """
    known = Settings.model_fields
    return [
        f"environment variable {name} is not a setting and has no effect. "
        f"{suggestion(name.removeprefix(PREFIX).partition('__')[0].lower(), known)}"
        for name in sorted(os.environ)
        if name.startswith(PREFIX)
        and name not in NOT_SETTINGS
        and name.removeprefix(PREFIX).partition("__")[0].lower() not in known
    ]


def _hub_offline() -> Tree:
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    offline = any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in values)
    return {"offline": True} if offline else {}


def _read_file(file: Path) -> Source:
    try:
        tree = tomllib.loads(read_text(file))
    except OSError as error:
        message, remedy = f"cannot be read ({error.strerror})", "Check the path and its permissions"
    except UnicodeDecodeError as error:
        message, remedy = f"is not UTF-8 ({error.reason})", "Save the file as UTF-8"
    except tomllib.TOMLDecodeError as error:
        message, remedy = f"is not TOML: {error}", "Fix the syntax at that place"
    else:
        return Source("file", str(file), _anchored(tree, file.resolve().parent))
    raise ConfigError([Problem(path=(), message=message, remedy=remedy, origin=str(file))])


def _read_environment(folder: Path) -> Source:
    try:
        tree = EnvSettingsSource(Settings)()
    except SettingsError as error:
        problem = Problem(
            path=(),
            message=str(error),
            remedy="A whole section must be JSON; single keys are simpler: GATEWAY_LIMITS__KEY=...",
            origin="environment",
        )
        raise ConfigError([problem]) from error
    return Source("environment", "environment", _anchored(tree, folder))


def _anchored(tree: Tree, folder: Path) -> Tree:
    """Return the tree with absolute paths of files and model folders, resolved against a folder."""
    tree = {**tree, **{key: _anchored_file(tree[key], folder) for key in FILES if key in tree}}
    if isinstance(tls := tree.get("tls"), Mapping):
        paths = {key: _anchored_file(tls[key], folder) for key in TLS_FILES if key in tls}
        tree = {**tree, "tls": {**tls, **paths}}
    models = tree.get("models")
    if not isinstance(models, Mapping):
        return tree
    return {
        **tree,
        "models": {name: _anchored_model(model, folder) for name, model in models.items()},
    }


def _anchored_file(value: object, folder: Path) -> object:
    if not isinstance(value, str) or not value:
        return value
    return os.path.normpath(folder / Path(value).expanduser())


def _anchored_model(model: object, folder: Path) -> object:
    source = model.get("source") if isinstance(model, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(source, str):
        return model
    path = folder / Path(source).expanduser()
    with reading(path):
        is_folder = source.startswith((".", "/", "~")) or (source and path.is_dir())
    return {**model, "source": os.path.normpath(path)} if is_folder else model


def _merge(base: Tree, over: Mapping[str, Any]) -> Tree:
    """Return `base` overridden by `over`, section by section."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = (
            _merge(dict(below), value)  # type: ignore[arg-type]  # `both` has checked its type
            if both
            else value
        )
    return merged


def _validate(tree: Tree, sources: list[Source]) -> Settings:
    problems: list[Problem] = []
    while True:
        try:
            settings = Settings(**tree)
        except ValidationError as error:
            errors = error.errors(include_url=False)
        else:
            if problems:
                raise ConfigError(problems)
            return settings
        known = {problem.path for problem in problems}
        found = [problem for detail in errors for problem in _problems(detail, sources)]
        problems += [problem for problem in found if problem.path not in known]
        if not all(detail["loc"] for detail in errors):
            raise ConfigError(problems)  # contradictions: the single keys were all fine
        for detail in errors:
            tree = _drop(tree, detail["loc"])


def _drop(tree: Tree, path: KeyPath) -> Tree:
    """Return the tree without the key at fault, so that the rest can be validated.

    A required key that is missing gets a placeholder instead, so that its section stays.
    """
    head, rest = str(path[0]), path[1:]
    below = tree.get(head)
    if head == "splits":
        rest = rest[:1]  # nothing of a split is left without its models
    if not isinstance(below, Mapping) or rest[:1] in ((), ("[key]",)):
        return {key: value for key, value in tree.items() if key != head}
    if len(rest) == 1 and head != "splits" and rest[0] not in below:
        return {**tree, head: {**below, rest[0]: "missing"}}
    return {**tree, head: _drop(dict(below), rest)}


def _problems(error: ErrorDetails, sources: list[Source]) -> list[Problem]:
    """Return one of pydantic's errors as problems for an operator."""
    path = tuple(part for part in error["loc"] if part != "[key]")
    if not path:
        found: list[Problem] = error.get("ctx", {}).get("problems", [])
        return [problem.at(_origin(problem.path, sources)) for problem in found]
    message, remedy = _explain(error, path)
    return [Problem(path=path, message=message, remedy=remedy, origin=_origin(path, sources))]


def _origin(path: KeyPath, sources: list[Source]) -> str:
    """Return the origin of a key: the last source that has it, or the nearest key above it."""
    for length in range(len(path), 0, -1):
        for source in reversed(sources):
            if source.holds(path[:length]):
                return source.origin(path[:length])
    return ""


def _explain(error: ErrorDetails, path: KeyPath) -> tuple[str, str]:
    """Return finding and remedy."""
    if error["type"] == "extra_forbidden":
        return "unknown key", suggestion(str(path[-1]), _section(path[:-1]).model_fields)
    if error["type"] == "missing":
        return "is missing", f"Add it: {_about(path)}"
    if "[key]" in error["loc"]:
        return (
            f"{shown(path[-1])} is not a model name",
            "A name starts with a letter or digit, and goes on with up to 127 letters, digits, "
            "dots, slashes, dashes and underscores",
        )
    allowed = MESSAGES.get(error["type"]) or error["msg"][:1].lower() + error["msg"][1:]
    near = likely(str(error["input"]), _quoted(error))
    remedy = f"Did you mean {near}? {_about(path)}" if near else _about(path)
    return f"found {shown(error['input'])}: {allowed}", remedy


def _quoted(error: ErrorDetails) -> list[str]:
    """Return the values that pydantic expects, of its error at a literal."""
    return re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))


def _section(path: KeyPath) -> type[BaseModel]:
    """Return the class of the section at a path."""
    if not path:
        return Settings
    if path[0] in NAMED:
        below = path[2] if path[0] == "models" and len(path) > 2 else None
        return BELOW_MODEL.get(below, NAMED[str(path[0])])
    section = Settings.model_fields[str(path[0])].annotation
    assert isinstance(section, type) and issubclass(section, BaseModel)
    return section


def _about(path: KeyPath) -> str:
    """Return the description of the key at a path (of the list, for one of its elements)."""
    names = [part for part in path if isinstance(part, str)]
    if names[0] in NAMED and len(names) < 3:
        return f"Write [{names[0]}.NAME] with {NEEDED[names[0]]}"
    field = _section(tuple(names[:-1])).model_fields.get(names[-1])
    description = " ".join((field.description or "").split()) if field else ""
    return description or "See docs/configuration.md"
