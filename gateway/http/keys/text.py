"""The text of a file of keys, and the edits of `gateway key`. Pure.

It is TOML with one section for each key, named by its id, so that people can read it, compare two
versions and add comments. An edit changes only the lines of its key; comments stay.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from gateway.config import Problem
from gateway.config.problems import shown, suggestion
from gateway.http.keys.key import Key

HEAD = """\
# The keys of a rerank gateway: one section each, without the secrets. `gateway key` edits this
# file, and you may edit it, too; `gateway reload` brings it into effect.
"""


class Unchangeable(Exception):
    """The text cannot be edited as asked; the message has the reason."""


def parse(text: str) -> tuple[list[Key], list[Problem]]:
    """Return the keys of a text, and all its problems."""
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
    return keys, [*problems, *_duplicates(keys)]


def with_key(text: str, key: Key) -> str:
    """Return the text with one more key, at its end."""
    fields = key.model_dump(exclude_defaults=True, exclude={"id"})
    lines = [f"[{key.id}]", *(f"{name} = {_toml(value)}" for name, value in fields.items())]
    start = f"{text.rstrip()}\n" if text.strip() else HEAD
    return f"{start}\n" + "\n".join(lines) + "\n"


def without(text: str, id_: str, moment: datetime) -> str:
    """Return the text with a key revoked since a moment.

    Raises:
        Unchangeable: the head of its section is not a line of its own.
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
    for found in error.errors(include_url=False):
        path = (id_, *(part for part in found["loc"] if part != "id"))
        name = str(found["loc"][0])
        if found["type"] == "extra_forbidden":
            remedy = suggestion(name, set(Key.model_fields) - {"id"})
            yield _problem(path, "unknown key", remedy)
            continue
        field = Key.model_fields[name]
        about = " ".join((field.description or "").split())
        if found["type"] == "missing":
            yield _problem(path, "is missing", f"Add it: {about}")
        elif name == "id":
            yield _problem(path, f"{shown(id_)} is not a valid id", "Use letters, digits, - and _")
        elif name == "hash":  # it may be the key itself, so it is not shown
            yield _problem(path, "is not sha256: and 64 hexadecimal digits", about)
        else:
            message = found["msg"][:1].lower() + found["msg"][1:]
            yield _problem(path, f"found {shown(found['input'])}: {message}", about)


def _duplicates(keys: list[Key]) -> Iterator[Problem]:
    """Yield a problem for each key that has two sections: they could contradict each other."""
    owners: dict[str, str] = {}
    for key in keys:
        owner = owners.setdefault(key.hash, key.id)
        if owner != key.id:
            yield _problem((key.id, "hash"), f"is the hash of {owner}, too", "Keep one of the two")


def _problem(path: tuple[str | int, ...], message: str, remedy: str) -> Problem:
    return Problem(path=path, message=message, remedy=remedy)
