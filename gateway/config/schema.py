"""JSON Schema for editors, and docs/configuration.md, both made from the settings.

`scripts/docs` writes them, and a test compares what is committed with what the code says.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config.canary import CanarySettings
from gateway.config.http import HttpSettings, TlsSettings
from gateway.config.limits import LimitSettings
from gateway.config.moving import ShadowSettings, SplitSettings
from gateway.config.settings import (
    ModelSettings,
    Settings,
    SupervisionSettings,
)

INTRODUCTION = """# Configuration

<!-- Written by scripts/docs from gateway/config/settings.py: change that file. -->

Nothing needs to be configured: without any setting the gateway serves the two embedded models.
What is set comes from four places; the first that has a value wins:

1. flags: `gateway serve --port 9000`
2. environment: `GATEWAY_PORT=9000`, `GATEWAY_LIMITS__DOCUMENTS=500` (two underscores between levels)
3. a TOML file: `gateway serve --config FILE` (or `GATEWAY_CONFIG=FILE`)
4. the defaults below

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
    ("`[models.NAME]`", "models.NAME", ModelSettings),
    ("`[[models.NAME.canaries]]`", "models.NAME.canaries", CanarySettings),
    ("`[models.NAME.shadow]`", "models.NAME.shadow", ShadowSettings),
    ("`[splits.NAME]`", "splits.NAME", SplitSettings),
)


def json_schema() -> str:
    """Return the JSON Schema of the TOML file, as text that is the same for the same settings."""
    schema = Settings.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def configuration_page() -> str:
    """Return docs/configuration.md."""
    return INTRODUCTION + "".join(_section(*section) for section in SECTIONS)


def write(root: Path, *, check: bool = False) -> list[str]:
    """Write the generated files under a checkout (or, to check, do not); return those that differ."""
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
    lines = [f"\n## {title}\n", "| key | default | allowed | meaning |", "|---|---|---|---|"]
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        if not _is_section(field):
            lines.append(_row(name, field, properties[name]))
    return "\n".join(lines) + "\n"


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.default, BaseModel | dict)


def _row(name: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    meaning = " ".join((field.description or "").split())
    return f"| `{name}` | {_default(field)} | {', '.join(_allowed(schema))} | {meaning} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return f'`"{value[0]}"`' if value else "`[]`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{json.dumps(value)}`"


def _allowed(schema: dict[str, Any]) -> Iterator[str]:
    """Yield what a key may be, in words."""
    for one in schema.get("anyOf", [schema]):
        if "enum" in one:
            yield ", ".join(f"`{value}`" for value in one["enum"])
        elif "$ref" in one:
            yield "section"
        elif one.get("type") != "null":
            yield _range(one)


def _range(schema: dict[str, Any]) -> str:
    names = {"boolean": "`true`, `false`", "array": "list", "object": "section"}
    kind = names.get(schema["type"], str(schema["type"]))
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum")
    if low is None:
        return kind
    start = "above " if "exclusiveMinimum" in schema else "from "
    return f"{kind} {start}{int(low)}" + (f" to {int(high)}" if high is not None else "")


if __name__ == "__main__":
    checking = "--check" in sys.argv[1:]
    found = write(Path.cwd(), check=checking)
    for name in found:
        sys.stdout.write(
            f"{name} {'is out of date: run scripts/docs' if checking else 'written'}\n"
        )
    sys.exit(1 if checking and found else 0)
