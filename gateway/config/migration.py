"""Configurations of other rerank servers as ours: command line and variables to TOML. Pure."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.foreign import SERVERS, Meaning, Server

_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_DEFAULT_NAME = "model"


@dataclass
class Migration:
    """A configuration of another server, translated.

    Attributes:
        server: the server.
        settings: our keys outside models.
        models: our keys of each model, with `name` among them.
        remarks: options with a difference or without a counterpart, each with the reason.
        unknown: options that the server has not, as far as it is known here.
    """

    server: Server
    settings: dict[str, Any] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    _count: dict[str, int] = field(default_factory=dict)

    def add(self, option: str, text: str, shown: str) -> None:
        """Add an option with its text; `shown` is its name as it was written."""
        meaning = self.server.options.get(option)
        if meaning is None:
            self.unknown.append(shown)
            return
        if meaning.remark:
            self.remarks.append(f"{shown}: {meaning.remark}")
        if not meaning.key:
            return
        try:
            value = meaning.value if meaning.is_flag else meaning.convert(text)
        except (KeyError, ValueError):
            self.unknown.append(f"{shown} {text}")
            return
        if meaning.key.startswith("model."):
            self._add_to_model(meaning.key.removeprefix("model."), value, option)
        elif isinstance(value, list):
            self.settings.setdefault(meaning.key, []).extend(value)
        else:
            self.settings[meaning.key] = value

    def _add_to_model(self, key: str, value: Any, option: str) -> None:
        """Set a key of the next model: options that are repeated describe one model each."""
        number = self._count.get(option, 0)
        self._count[option] = number + 1
        while len(self.models) <= number:
            self.models.append({})
        self.models[number][key] = value


def recognised(words: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """Return the name of the server of a command line, or else of the variables."""
    for word in words:
        program = word.rsplit(":", 1)[0] if "/" in word else word
        for name, server in SERVERS.items():
            if any(program == each or program.endswith(f"/{each}") for each in server.programs):
                return name
    for name in ("infinity", "vllm", "mosec"):
        if any(each.startswith(SERVERS[name].prefix) for each in environ):
            return name
    return "tei" if "MODEL_ID" in environ else None


def migrated(name: str, words: Sequence[str], environ: Mapping[str, str]) -> Migration:
    """Return the configuration of a server: its variables, and its command line over them."""
    server = SERVERS[name]
    found = Migration(server)
    words, given = _arguments(words, server, found)
    options = [*_options(words, server, found)]
    set_ = {option for option, _, _ in options}
    for variable, text in {**environ, **given}.items():
        option = server.option_of(variable)
        if option and option not in set_:
            _add_variable(found, server, option, text, variable)
        elif option is None and server.prefix and variable.startswith(server.prefix):
            found.unknown.append(variable)
    for option, text, shown in options:
        found.add(option, text, shown)
    return found


def _add_variable(found: Migration, server: Server, option: str, text: str, variable: str) -> None:
    if server.options[option].is_flag:
        if text.lower() in {"1", "true", "yes", "on"}:
            found.add(option, "", variable)
        return
    for part in text.rstrip(";").split(";") if server.prefix == "INFINITY_" else [text]:
        if part:
            found.add(option, part, variable)


def _arguments(
    words: Sequence[str], server: Server, found: Migration
) -> tuple[list[str], dict[str, str]]:
    """Return the arguments of the server itself, and the variables set before them.

    The words before the program are those of a shell, of Python or of `docker run`.
    """
    place = _place_of_program(words)
    environ: dict[str, str] = {}
    before = list(words[:place])
    while before:
        word = before.pop(0)
        if word in ("-e", "--env") and before:
            word = before.pop(0)
        elif word.startswith("--env="):
            word = word.removeprefix("--env=")
        elif word.startswith("-"):
            takes = before and not word.startswith("--") and not before[0].startswith("-")
            value = f" {before[0]}" if takes and word in ("-p", "-v") else ""
            if value:
                before.pop(0)
            if word not in ("-m", "-u", "-d", "-i", "-t", "-it", "--rm"):
                found.remarks.append(f"{word}{value}: of the container, not of the server")
            continue
        if match := _VARIABLE.fullmatch(word):
            environ[match[1]] = match[2]
    return list(words[place:]), environ


def _place_of_program(words: Sequence[str]) -> int:
    """Return the place behind the program: a known name, else a script, else the variables."""
    names = (number for number, word in enumerate(words, 1) if recognised([word], {}))
    scripts = (number for number, word in enumerate(words, 1) if word.endswith(".py"))
    variables = itertools.takewhile(_VARIABLE.fullmatch, words)
    return next(names, 0) or next(scripts, 0) or sum(1 for _ in variables)


def _options(
    words: Sequence[str], server: Server, found: Migration
) -> Iterator[tuple[str, str, str]]:
    """Yield each option with its text, and as it was written."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            if server.title == "vLLM" and word not in ("serve",) and not found.models:
                yield "model", word, word
            elif word not in ("serve", "v2") and not word.endswith(".py"):
                found.unknown.append(word)
            continue
        shown, equals, text = word.partition("=")
        name = shown.lstrip("-").replace("_", "-")
        name = server.short.get(name, name) if not shown.startswith("--") else name
        meaning = server.options.get(name, Meaning())
        if not equals and not meaning.is_flag and rest and not rest[0].startswith("-"):
            text = rest.pop(0)
        if name not in server.options and text:
            shown = f"{shown} {text}"
        yield name, text, shown


def toml(found: Migration) -> str:
    """Return our configuration with comments: what differs, and what is not translated."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Migration) -> Iterator[str]:
    settings = {**found.server.defaults, **found.settings}
    yield f"# From the configuration of a {found.server.title} server."
    for line in found.unknown:
        yield _comment(f"UNKNOWN, not translated: {line}")
    for line in found.remarks:
        yield _comment(line)
    if settings["host"] == "0.0.0.0" and "keys_file" not in settings:
        yield "# Any client that reaches the port may use it, as before; keys_file changes that."
        settings["allow_unauthenticated"] = True
    yield ""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, {})[name] = value
    yield from _pairs(sections.pop("", {}))
    for section, pairs in sections.items():
        yield from ("", f"[{section}]", *_pairs(pairs))
    models = [model for model in found.models if "source" in model]
    for model in models:
        name = model.pop("name", "") or model["source"]
        name = name if _NAME.fullmatch(name) else _DEFAULT_NAME
        yield from ("", f"[models.{json.dumps(name)}]", *_pairs(model))
    if not models:
        yield from ("", "# The model is not in this configuration: write its folder or id.")
        yield from ("# [models.NAME]", '# source = "..."')


def _pairs(pairs: Mapping[str, Any]) -> Iterator[str]:
    for key, value in pairs.items():
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"


def _comment(line: str) -> str:
    return f"# {' '.join(line.split())}"
