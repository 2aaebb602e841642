"""JSON Schema for editors, and docs/configuration.md, both made from the settings.

`scripts/docs` writes them; a test compares the committed files with the code.
"""

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config.cascades import CascadeSettings
from gateway.config.http_sections import HttpSettings, LimitSettings, TlsSettings
from gateway.config.memory_section import MemoryBudgetSettings
from gateway.config.model_sections import (
    CanarySettings,
    ModelSettings,
    ShadowSettings,
    SplitSettings,
    SupervisionSettings,
)
from gateway.config.settings import Settings

_COLUMNS = 100

INTRODUCTION = """# Configuration

<!-- Written by scripts/docs from gateway/config/settings.py and *_sections.py: change those. -->

Nothing needs to be configured: without any setting the gateway serves the two embedded models.
A value comes from one of four sources; the first that has the key wins:

1. flags: `gateway serve --port 9000`
2. environment: `GATEWAY_PORT=9000`, `GATEWAY_LIMITS__DOCUMENTS=500` (`__` between levels)
3. a TOML file: `gateway serve --config FILE` (or `GATEWAY_CONFIG=FILE`)
4. the defaults below

`gateway serve --env-file FILE` reads variables from a file at the start; variables that are set
already have precedence. Variables of other servers, such as `PORT` or `MODEL_ID`, have no effect:
one line of the log names our key for each, and `gateway migrate` writes a file from them.

`gateway check FILE` lists every error at once, and where each shard would run on this machine.
Unknown keys are errors. A first line `#:schema ./schema.json` gives editors completion and checks
(the schema is `configs/schema.json`). Examples that work are in `configs/`.
"""

SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("Top level", "", Settings),
    ("`[limits]`", "limits", LimitSettings),
    ("`[http]`", "http", HttpSettings),
    ("`[tls]`", "tls", TlsSettings),
    ("`[supervision]`", "supervision", SupervisionSettings),
    ("`[memory_budget]`", "memory_budget", MemoryBudgetSettings),
    ("`[models.NAME]`", "models.NAME", ModelSettings),
    ("`[[models.NAME.canaries]]`", "models.NAME.canaries", CanarySettings),
    ("`[models.NAME.shadow]`", "models.NAME.shadow", ShadowSettings),
    ("`[splits.NAME]`", "splits.NAME", SplitSettings),
    ("`[cascades.NAME]`", "cascades.NAME", CascadeSettings),
)


def json_schema() -> str:
    """Return the JSON Schema of the TOML file, as text; equal settings give equal text."""
    schema = Settings.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def configuration_page() -> str:
    """Return docs/configuration.md."""
    return INTRODUCTION + "".join(_section(*section) for section in SECTIONS)


def write(root: Path, *, check: bool = False) -> list[str]:
    """Write the generated files of a checkout, or only check them; return those that differ."""
    files = {"docs/configuration.md": configuration_page(), "configs/schema.json": json_schema()}
    different = []
    for name, text in files.items():
        file = root / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            different.append(name)
            if not check:
                file.write_text(text, encoding="utf-8")
    return different


def _section(title: str, prefix: str, model: type[BaseModel]) -> str:
    lines = [f"\n## {title}\n"]
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        if not _is_section(field):
            lines.append(_entry(name, field, properties[name]))
    return "\n".join(lines) + "\n"


def _is_section(field: FieldInfo) -> bool:
    below = get_args(field.annotation)[-1:]  # of a table with names, the class of its sections
    named = isinstance(field.default, dict) and isinstance(below[0], type)
    return named or isinstance(field.default, BaseModel)


def _entry(name: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    """Return the entry of a key: name, allowed values, default, and the description below."""
    description = " ".join((field.description or "").split())
    return "\n".join(
        [
            f"- `{name}`: {', '.join(_allowed(schema))}; {_default(field)}.",
            *textwrap.wrap(
                description,
                width=_COLUMNS,
                initial_indent="  ",
                subsequent_indent="  ",
                break_on_hyphens=False,
            ),
        ]
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "unset by default"
    if isinstance(value, tuple):
        return f'default `"{value[0]}"`' if value else "default `[]`"
    if isinstance(value, float):
        return f"default `{value:g}`"
    return f"default `{json.dumps(value)}`"


def _allowed(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the allowed values of a key, in words."""
    for option in schema.get("anyOf", [schema]):
        if "enum" in option:
            yield ", ".join(f"`{value}`" for value in option["enum"])
        elif "$ref" in option:
            yield "section"
        elif option.get("type") != "null":
            yield _range(option)


def _range(schema: dict[str, Any]) -> str:
    names = {"boolean": "`true`, `false`", "array": "list", "object": "section"}
    kind = names.get(schema["type"], str(schema["type"]))
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum")
    if low is None:
        return kind
    if "exclusiveMinimum" in schema:
        return f"{kind} above {int(low)}" + (f", at most {int(high)}" if high is not None else "")
    return f"{kind} from {int(low)}" + (f" to {int(high)}" if high is not None else "")


if __name__ == "__main__":
    checking = "--check" in sys.argv[1:]
    found = write(Path.cwd(), check=checking)
    for name in found:
        sys.stdout.write(
            f"{name} {'is out of date: run scripts/docs' if checking else 'written'}\n"
        )
    sys.exit(1 if checking and found else 0)
