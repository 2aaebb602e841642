"""Bodies that repeat and nest: a seeded generator over the OpenAPI document, in both formats.

A body is an example of its API in which one field or more, known or not, has a value that was made
to grow to a size: lists, objects with different or equal keys, chains, texts and numbers. Bytes are
written directly, since no encoder writes a key twice.
"""

import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from gateway.dialects import PATHS, Dialect, Limits, MediaType, RerankPath, encode, parse_body
from gateway.domain.errors import InvalidRequest
from gateway.domain.request import RerankRequest, RerankResult, Scored
from gateway.http.openapi import document

LIMITS = Limits()
FLOOR = 2 * 1024 * 1024
"""Bytes that a smaller body counts as, where memory is compared with bytes."""

ATOMS: tuple[object, ...] = (
    None, True, 0, 7, 999, 2**40, 1.5, 1e15, 1e-7, "", "a", "ab", "text", "é", "😀", "\x01", '"',
    "\\", "\n", "a" * 40, "word " * 20, [], {}, [[]], [{}], {"a": 0}, {"text": ""},
    {"text": "a", "x": [1, {"y": None}]}, {"type": "text", "text": "a"},
    {"query": "q", "passage": "p"}, {"a": {"b": {"c": {}}}}, ["a", "b", 1, 2.5],
)  # fmt: skip
NAMES = ("text", "content", "a", "title", "x", "topn", "document")


class Format:
    """A writer of JSON or MessagePack that puts together encoded values."""

    def __init__(self, media_type: MediaType) -> None:
        self.media_type = media_type
        self.is_json = media_type is MediaType.JSON

    def value(self, value: object) -> bytes:
        return encode(value, self.media_type)

    def list(self, items: Sequence[bytes]) -> bytes:
        if self.is_json:
            return b"[" + b",".join(items) + b"]"
        return b"\xdd" + struct.pack(">I", len(items)) + b"".join(items)

    def map(self, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
        if self.is_json:
            return b"{" + b",".join([key + b":" + value for key, value in fields]) + b"}"
        inner = b"".join([key + value for key, value in fields])
        return b"\xdf" + struct.pack(">I", len(fields)) + inner

    def chain(self, depth: int, name: str | None, inner: bytes) -> bytes:
        """Nest a value in so many lists, or in objects with one field."""
        if name is None:
            return b"[" * depth + inner + b"]" * depth if self.is_json else b"\x91" * depth + inner
        key = self.value(name)
        if self.is_json:
            return (b"{" + key + b":") * depth + inner + b"}" * depth
        return (b"\x81" + key) * depth + inner


Grow = Callable[[Format, int], bytes]
"""Makes a value of about so many bytes."""


def of_list(unit: object) -> Grow:
    def grow(form: Format, size: int) -> bytes:
        item = form.value(unit)
        return form.list([item] * max(size // (len(item) + form.is_json), 1))

    return grow


def of_keys(unit: object, *, equal: bool) -> Grow:
    def grow(form: Format, size: int) -> bytes:
        item = form.value(unit)
        number = max(size // (len(item) + 8), 1)
        names = ["a"] * number if equal else [f"{i:x}" for i in range(number)]
        return form.map([(form.value(name), item) for name in names])

    return grow


def of_chains(depth: int, name: str | None) -> Grow:
    def grow(form: Format, size: int) -> bytes:
        item = form.chain(depth, name, form.value(0))
        return form.list([item] * max(size // len(item), 1))

    return grow


def of_objects(fields: int, unit: object) -> Grow:
    """Make documents with so many fields each, the first one of them `text`."""

    def grow(form: Format, size: int) -> bytes:
        item = form.value({"text": "a", **{f"f{i}": unit for i in range(fields)}})
        return form.list([item] * max(size // len(item), 1))

    return grow


def of_different_objects(fields: int, unit: object) -> Grow:
    """Make documents of which no two have a key in common."""

    def grow(form: Format, size: int) -> bytes:
        items: list[bytes] = []
        taken = 0
        while taken < size:
            start = len(items) * fields
            items.append(form.value({f"{start + i:x}": unit for i in range(fields)}))
            taken += len(items[-1])
        return form.list(items)

    return grow


def of_content(unit: object) -> Grow:
    def grow(form: Format, size: int) -> bytes:
        parts = of_list(unit)(form, size)
        return form.list([form.map([(form.value("content"), parts)])])

    return grow


def of_text(before: str, letter: str, after: str) -> Grow:
    def grow(form: Format, size: int) -> bytes:
        number = max(size // len(form.value(letter)), 1)
        return form.value(before + letter * number + after)

    return grow


def of_number(pattern: bytes, digit: bytes) -> Grow:
    def grow(form: Format, size: int) -> bytes:
        if not form.is_json:
            return form.list([form.value(1.1)] * (size // 9 + 1))
        return form.list([pattern + digit * 4000] * (size // 4000 + 1))

    return grow


GROWN: dict[str, Grow] = {
    **{f"list of {unit!r:.30}": of_list(unit) for unit in ATOMS},
    **{f"keys of {unit!r:.30}": of_keys(unit, equal=False) for unit in ATOMS[::3]},
    **{f"one key of {unit!r:.30}": of_keys(unit, equal=True) for unit in ATOMS[::5]},
    **{
        f"chains of {n} {name}": of_chains(n, name)
        for n in (2, 30, 31, 32, 400)
        for name in (None, "a")
    },
    **{
        f"objects of {n} {unit!r:.30}": of_objects(n, unit)
        for n in (1, 4, 40)
        for unit in ATOMS[2:24:4]
    },
    **{f"different objects of {n}": of_different_objects(n, 0) for n in (1, 5, 6, 100)},
    **{f"content of {unit!r:.30}": of_content(unit) for unit in ATOMS[-6:]},
    **{
        f"text {before!r}{letter!r}{after!r}": of_text(before, letter, after)
        for letter in ("a", " ", "é", "😀", "\x01", '"', "\\", ",[{:", "\x00\\")
        for before, after in (("", ""), ("😀", ""), ("", "😀"), ("\n", "\U0010ffff"))
    },
    **{
        f"numbers {pattern!r}{digit!r}": of_number(pattern, digit)
        for pattern in (b"1", b"0.", b"1.")
        for digit in (b"9", b"0", b"3")
    },
}  # fmt: skip
"""Values that grow, by name."""


def of_rank_fields(form: Format, size: int, *, equal: bool, share: float) -> dict[str, bytes]:
    """Return documents, and names of fields that take this share of the bytes."""
    number = max(int(size * share) // 8, 1)
    names = ["a"] * number if equal else [*(f"{i:x}" for i in range(number - 1)), "a"]
    documents = of_list({"a": "x" * 20, "b": [1, 2, {"c": "x"}]})(form, int(size * (1 - share)))
    return {"rank_fields": form.value(names), "documents": documents}


def of_unknown_fields(form: Format, size: int, unit: object) -> dict[str, bytes]:
    item = form.value(unit)
    return {f"u{i:x}": item for i in range(max(size // (len(item) + 9), 1))}


class Body(NamedTuple):
    """A body, with the names of what was grown in it."""

    name: str
    path: RerankPath
    media_type: MediaType
    raw: bytes


@dataclass(frozen=True, slots=True)
class Recipe:
    """A body of any size: the path, and what grows in which field."""

    path: str
    field: str
    grown: str
    media_type: MediaType

    def make(self, size: int) -> Body:
        form = Format(self.media_type)
        example = PATHS[self.path].dialect.contract.example
        fields = {name: form.value(value) for name, value in example.items()}
        if self.field == "*":
            fields |= of_unknown_fields(form, size, ATOMS[len(self.grown) % len(ATOMS)])
        elif self.field == "+":
            equal, share = self.grown.startswith("one key"), 0.05 + len(self.grown) % 10 / 10
            fields |= of_rank_fields(form, size, equal=equal, share=share)
        elif self.field == "[]":
            return self._body(GROWN[self.grown](form, size))
        else:
            fields[self.field] = GROWN[self.grown](form, size)
        return self._body(form.map([(form.value(name), v) for name, v in fields.items()]))

    def _body(self, raw: bytes) -> Body:
        name = f"{self.media_type.name} {self.path} {self.field}: {self.grown}"
        return Body(name, PATHS[self.path], self.media_type, raw)


def fields_of(path: str) -> list[str]:
    """Return the fields that the OpenAPI document has for a path, and some that it does not."""
    found: Any = msgspec.to_builtins(document())
    body = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    names: set[str] = set()
    pending = [body]
    while pending:
        schema: Mapping[str, Any] = pending.pop()
        if "$ref" in schema:
            pending.append(found["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        pending += [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
        names |= schema.get("properties", {}).keys()
    return [*sorted(names), *NAMES, "*", "+", "[]"]


def recipes(seed: int, number: int) -> list[Recipe]:
    """Return so many different recipes, by chance."""
    chance = random.Random(seed)
    by_path = {path: fields_of(path) for path in PATHS}
    texts = ("documents", "query", "texts", "input", "passages", "pairs", "items", "text_2")
    found: list[Recipe] = []
    while len(found) < number:
        path = chance.choice(list(by_path))
        likely = [name for name in by_path[path] if name in texts] + ["*", "+"]
        field = chance.choice(by_path[path] if chance.random() < 0.5 else likely)
        grown = chance.choice(list(GROWN))
        found.append(Recipe(path, field, grown, chance.choice(list(MediaType))))
    return found


def parse(body: Body) -> tuple[Dialect, RerankRequest] | None:
    """Parse a body as the endpoint does; `None` for one that is refused."""
    found: list[Dialect] = []
    try:
        request = parse_body(body.raw, body.media_type, body.path, LIMITS, found.append)
    except InvalidRequest:
        return None
    return found[0], request


def render(dialect: Dialect, request: RerankRequest, media_type: MediaType) -> bytes:
    """Return the reply to a request, with made-up scores."""
    scored = tuple(Scored(i, -1.0, 1, truncated=False) for i in range(len(request.documents)))
    result = RerankResult(
        id="rerank-1",
        model="demo",
        scored=scored,
        top=scored[: request.top_n],
        processing_seconds=0.0,
        created=0,
    )
    return encode(dialect.render(request, result), media_type)


def seconds(work: Callable[[], object]) -> float:
    """Return the time of this thread that some work takes."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def peak(body: Body) -> int:
    """Return the most memory while a body is parsed, the body included."""
    tracemalloc.start()
    try:
        parse(body)
        return tracemalloc.get_traced_memory()[1] + len(body.raw)
    finally:
        tracemalloc.stop()
