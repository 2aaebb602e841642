"""The page that describes the API to people, with an example of each API that can be tried.

It is made from the OpenAPI document and the tables of paths. Its style and script are files of the
page at `/`; without the script everything can be read, and nothing be sent.
"""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

from gateway.dialects import ALL_PATHS, DIALECTS, VECTOR_DIALECTS, Dialect
from gateway.http.openapi.document import document, error_kinds
from gateway.http.routes import READS, Endpoint, Need

_DIALECTS = (*DIALECTS, *VECTOR_DIALECTS)
_NEEDS = {Need.NOTHING: "nothing", Need.KEY: "a key", Need.ADMIN: "an admin key"}
_SECTIONS = {"apis": "APIs", "reading": "Reading", "headers": "Headers", "errors": "Errors"}
_CODE = re.compile("`([^`]+)`")
_HEAD = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <meta name="description" content="The APIs of this gateway, with examples to try.">
  <title>API · Rerank gateway</title>
  <link rel="icon" href="web/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="web/base.css">
  <link rel="stylesheet" href="web/docs.css">
  <script type="module" src="web/docs.js"></script>
</head>
<body>
  <a class="skip" href="#main">Skip to content</a>
  <header class="top">
    <p class="brand"><img src="web/icon.svg" alt="" width="28" height="28"> Rerank gateway</p>
    <nav aria-label="Views">
      <a href="./#playground">Playground</a>
      <a href="./#status">Status</a>
      <a href="docs" aria-current="page">API</a>
    </nav>
  </header>
  <form id="key-form" class="notice" hidden>
    <p id="key-reason" role="alert"></p>
    <div class="row">
      <label class="grow">API key
        <input id="key" type="password" autocomplete="off" spellcheck="false"
          aria-describedby="key-note">
      </label>
      <button class="primary">Use this key</button>
    </div>
    <p id="key-note" class="hint">Kept in this tab only, until it is closed.</p>
  </form>
  <main id="main" tabindex="-1">
"""
_FOOT = "</main></body></html>\n"


@cache
def page() -> str:
    """Return the page."""
    spec = document()
    info = spec["info"]
    links = (f'<a href="#{name}">{title}</a>' for name, title in _SECTIONS.items())
    return "".join(
        (
            _HEAD,
            f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
            f"<p>{_words(info['description'])}</p>",
            '<p>For programs: <a href="openapi.json">openapi.json</a>, OpenAPI 3.1.</p>',
            f'<nav class="contents" aria-label="On this page">{"".join(links)}</nav>',
            _section("apis", _table("APIs", ("API", "Paths (POST)"), _apis())),
            *(_dialect(spec, dialect) for dialect in _DIALECTS),
            _section("reading", _table("Reading", _READING, _reading())),
            _section("headers", _table("Headers", ("Header", "Of", "Meaning"), _headers(spec))),
            _section("errors", _table("Errors", ("error.code", "Status", "Meaning"), _errors())),
            _FOOT,
        )
    )


def _section(name: str, content: str) -> str:
    return f'<h2 id="{name}">{_SECTIONS[name]}</h2>{content}'


def _apis() -> Iterator[tuple[str, ...]]:
    """Yield each API with its paths; at those of others a field of the body selects it."""
    for dialect in _DIALECTS:
        own = [path for path, served in ALL_PATHS.items() if served.dialect is dialect]
        by_field: dict[str, list[str]] = {}
        for path, served in ALL_PATHS.items():
            for field, other in served.signatures.items():
                if other is dialect:
                    by_field.setdefault(field, []).append(path)
        also = [
            f"<br>by {_code(field)} in the body: {_codes(paths, ' ')}"
            for field, paths in by_field.items()
        ]
        title = f'<a href="#{dialect.name}">{escape(dialect.contract.title)}</a>'
        yield title, (_codes(own, " ") + "".join(also)).removeprefix("<br>")


_READING = ("Paths (GET)", "Reply", "Query", "Needs")


def _reading() -> Iterator[tuple[str, ...]]:
    """Yield one row for all paths with one reply."""
    rows: dict[tuple[str, str], tuple[list[str], Endpoint]] = {}
    for path, endpoint in READS.items():
        key = (endpoint.operation, endpoint.summary)
        rows.setdefault(key, ([], endpoint))[0].append(path.replace(":path", ""))
    for paths, endpoint in rows.values():
        query = endpoint.query or {}
        described = [f"{_code(name)}: {_words(text)}" for name, text in query.items()]
        needs = _NEEDS[endpoint.needs]
        yield _codes(paths), _words(endpoint.summary), "<br>".join(described), needs


def _headers(spec: Any) -> Iterator[tuple[str, ...]]:
    for name, parameter in spec["components"]["parameters"].items():
        yield _code(name), "request", _words(parameter["description"])
    replies = spec["paths"]["/rerank"]["post"]["responses"]["200"]["headers"]
    refusals = spec["components"]["responses"]["ErrorReply_503"]["headers"]
    for name, header in (replies | refusals).items():
        yield _code(name), "reply", _words(header["description"])


def _errors() -> Iterator[tuple[str, ...]]:
    for error in error_kinds():
        meaning = (error.__doc__ or "").partition("\n\n")[0]
        yield _code(error.code), str(error.status), _words(" ".join(meaning.split()))


def _dialect(spec: Any, dialect: Dialect) -> str:
    """Return the example of an API, which can be sent, its reply, and its fields."""
    name, title = dialect.name, escape(dialect.contract.title)
    examples = spec["components"]["examples"]
    request = examples[f"{name}_request"]["value"]
    reply = examples[f"{name}_reply"]["value"]
    fields = list(_fields(spec["components"]["schemas"][f"{name}_request"]))
    path = _path(dialect)
    rows = _json(request).count("\n") + 1
    return f"""
<section class="api" aria-labelledby="{name}">
<h3 id="{name}">{title}</h3>
<form class="try" data-path="{path}">
  <div>
    <label for="{name}-body">Request: POST {_code(path)}</label>
    <textarea id="{name}-body" rows="{rows}" spellcheck="false">{_json(request)}</textarea>
    <div class="row">
      <button class="primary" hidden>Send</button>
      <button type="button" class="reset" hidden>Reset</button>
    </div>
  </div>
  <div>
    <p class="label" role="status">Example of a reply</p>
    <pre tabindex="0" role="region" aria-label="Reply of {title}">{_json(reply)}</pre>
  </div>
</form>
<details class="curl" hidden><summary>As curl</summary>
<pre tabindex="0" role="region" aria-label="Request as curl"></pre></details>
<details><summary>{len(fields)} fields</summary>
{_table(f"Fields of {title}", ("Field", "Type", "Needed", "Meaning"), fields)}
</details>
</section>"""


def _path(dialect: Dialect) -> str:
    """Return the first path of an API; if it has none of its own, one where a field selects it."""
    own = (path for path, served in ALL_PATHS.items() if served.dialect is dialect)
    shared = (path for path, one in ALL_PATHS.items() if dialect in one.signatures.values())
    return next(itertools.chain(own, shared))


def _fields(schema: Any, inside: str = "") -> Iterator[tuple[str, ...]]:
    """Yield one row a field; those of an object inside the body follow it."""
    for name, described in schema["properties"].items():
        needed = "yes" if name in schema.get("required", ()) else ""
        meaning = _words(described.get("description", ""))
        yield _code(inside + name), escape(_kind(described)), needed, meaning
        if "properties" in described:
            yield from _fields(described, f"{inside}{name}.")


def _kind(schema: Any) -> str:
    """Return the type of a field in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(option) for option in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("type", "object"))


def _table(name: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column is a header too; roles stay where a phone shows blocks."""
    head = "".join(f'<th scope="col" role="columnheader">{each}</th>' for each in heads)
    body = "".join(f'<tr role="row">{_row(heads, row)}</tr>' for row in rows)
    return (
        f'<table role="table" aria-label="{name}"><thead role="rowgroup"><tr role="row">{head}'
        f'</tr></thead><tbody role="rowgroup">{body}</tbody></table>'
    )


def _row(heads: Sequence[str], row: Sequence[str]) -> str:
    cells = zip(heads[1:], row[1:], strict=True)
    return f'<th scope="row" role="rowheader">{row[0]}</th>' + "".join(
        f'<td role="cell" data-label="{head}">{cell}</td>' for head, cell in cells
    )


def _words(text: str) -> str:
    """Return a text as HTML; its words between backticks are code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _codes(texts: Sequence[str], between: str = "<br>") -> str:
    return between.join(map(_code, texts))


def _json(value: Mapping[str, object]) -> str:
    return escape(json.dumps(value, indent=2, ensure_ascii=False))
