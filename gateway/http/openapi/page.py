"""The OpenAPI document as a page of HTML, without scripts and without files of other hosts."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import Any

from gateway.http.openapi.document import document

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { background: #8881; padding: .7rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
         border-bottom: 1px solid #8884 }
:root { color-scheme: light dark }
"""


@cache
def page() -> str:
    """Return the page."""
    spec = document()
    title = escape(spec["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title} {escape(spec['info']['version'])}</h1>"
        f"<p>{escape(spec['info']['description'])}</p>"
        f'<p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"<h2>Rerank requests</h2>{_table(spec, 'post')}"
        f"<h2>Reading</h2>{_table(spec, 'get')}"
        f"{''.join(_dialects(spec))}</html>"
    )


def _table(spec: Any, method: str) -> str:
    rows = [
        (f"<code>{method.upper()} {escape(path)}</code>", escape(operations[method]["summary"]))
        for path, operations in spec["paths"].items()
        if method in operations
    ]
    return _rows(rows)


def _rows(rows: Sequence[tuple[str, ...]]) -> str:
    cells = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def _dialects(spec: Any) -> Iterator[str]:
    """Yield the fields of each dialect, an example request, and its reply."""
    schemas, examples = spec["components"]["schemas"], spec["components"]["examples"]
    for name in (name for name in schemas if name.endswith("_request")):
        schema, request = schemas[name], examples[name]["value"]
        reply = examples[name.replace("_request", "_reply")]["value"]
        yield f'<h2 id="{escape(name)}">{escape(schema["title"])}</h2>'
        yield _rows(
            [
                (
                    f"<code>{escape(field)}</code>",
                    escape(_kind(described)),
                    escape(described.get("description", "")),
                )
                for field, described in schema["properties"].items()
            ]
        )
        yield f"<pre>{_json(request)}</pre><p>gets the reply</p><pre>{_json(reply)}</pre>"


def _kind(schema: Any) -> str:
    """Return the type of a field in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(option) for option in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("type", "object"))


def _json(value: Any) -> str:
    return escape(json.dumps(value, indent=2, ensure_ascii=False))
