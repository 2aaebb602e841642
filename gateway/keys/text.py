"""The text of a file of keys, and what `gateway key` changes in it. Pure.

It is TOML, one section for each key with the id as its name, so that people can read it, compare two
editions and comment on it. Changes touch the lines that they are about; comments stay.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from gateway.config import Problem
from gateway.config.problems import shown, suggestion
from gateway.keys.key import Key

HEAD = """\
# The keys of a rerank gateway: one section each, without the secrets. `gateway key` writes it, and so
# may you; `gateway reload` brings it into effect.
"""


class Unchangeable(Exception):
    """The text cannot be changed so; the message says why."""


def parse(text: str) -> tuple[list[Key], list[Problem]]:
    """Return the keys of a text, and everything that is wrong with it."""
    try:
        sections = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [], [_problem((), f"is not TOML: {error}", "Fix the syntax at that place")]
    keys: list[Key] = []
    problems: list[Problem] = []
    for id_, section in sections.items():
        if not isinstance(section, Mapping):
            remedy = "Write [ID] and below it hash = ..., or use `gateway key new`"
            problems.append(_problem((id_,), "this should be a section with keys", remedy))
            continue
        try:
            keys.append(Key(**{**section, "id": id_}))
        except ValidationError as error:
            problems += _problems(id_, error)
    return keys, [*problems, *_twice(keys)]


def with_key(text: str, key: Key) -> str:
    """Return the text with one more key, at its end."""
    said = key.model_dump(exclude_defaults=True, exclude={"id"})
    lines = [f"[{key.id}]", *(f"{name} = {_toml(value)}" for name, value in said.items())]
    start = f"{text.rstrip()}\n" if text.strip() else HEAD
    return f"{start}\n" + "\n".join(lines) + "\n"


def without(text: str, id_: str, moment: datetime) -> str:
    """Return the text with a key revoked since a moment.

    Raises:
        Unchangeable: its section does not begin with a line of its own.
    """
    head = re.compile(rf"^\[{re.escape(id_)}\][ \t]*(#.*)?$", re.MULTILINE)
    if not head.search(text):
        raise Unchangeable(
            f"the section of {id_} does not begin with a line [{id_}]: "
            f"write revoked = {_toml(moment)} into it"
        )
    return head.sub(lambda found: f"{found[0]}\nrevoked = {_toml(moment)}", text, count=1)


def _toml(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _problems(id_: str, error: ValidationError) -> Iterator[Problem]:
    for one in error.errors(include_url=False):
        path = (id_, *(part for part in one["loc"] if part != "id"))
        name = str(one["loc"][0])
        if one["type"] == "extra_forbidden":
            remedy = suggestion(name, set(Key.model_fields) - {"id"})
            yield _problem(path, "unknown key", remedy)
            continue
        field = Key.model_fields[name]
        about = " ".join((field.description or "").split())
        if one["type"] == "missing":
            yield _problem(path, "is missing", f"Add it: {about}")
        elif name == "id":
            yield _problem(path, f"{shown(id_)} is no id", "Use letters, digits, - and _")
        elif name == "hash":  # perhaps the key itself: not to be repeated
            yield _problem(path, "is not sha256: and 64 hexadecimal digits", about)
        else:
            said = one["msg"][:1].lower() + one["msg"][1:]
            yield _problem(path, f"found {shown(one['input'])}: {said}", about)


def _twice(keys: list[Key]) -> Iterator[Problem]:
    """Two sections for one key would contradict each other."""
    owners: dict[str, str] = {}
    for key in keys:
        owner = owners.setdefault(key.hash, key.id)
        if owner != key.id:
            yield _problem((key.id, "hash"), f"is the hash of {owner}, too", "Keep one of the two")


def _problem(path: tuple[str | int, ...], message: str, remedy: str) -> Problem:
    return Problem(path=path, message=message, remedy=remedy)
