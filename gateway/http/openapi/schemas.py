"""The schemas of requests and replies, generated from the structs on the wire."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec

from gateway.dialects import DIALECTS, VECTOR_DIALECTS, Dialect, RerankBody
from gateway.dialects.request_body import Pair
from gateway.http.routes import READS

Schema = dict[str, Any]

_DIALECTS = (*DIALECTS, *VECTOR_DIALECTS)
_REF = "#/components/schemas/{name}"


def schema_of(kind: Any) -> Schema:
    """Return the schema of a type on the wire, usually a reference to its component."""
    return _schemas()[_key(kind)]


def schema_of_request(dialect: Dialect) -> Schema:
    """Return a reference to the schema of a dialect's request."""
    return {"$ref": _REF.format(name=_request_name(dialect))}


def schema_components() -> Schema:
    """Return every named schema."""
    components = dict(_schemas()["components"])
    del components["RerankBody"]
    return components | {_request_name(each): _request_schema(each) for each in _DIALECTS}


def any_of(schemas: list[Schema]) -> Schema:
    """Return a schema that accepts whatever any of these accepts."""
    different = [schema for at, schema in enumerate(schemas) if schema not in schemas[:at]]
    return different[0] if len(different) == 1 else {"anyOf": different}


def _request_schema(dialect: Dialect) -> Schema:
    """Return the schema of a dialect's request: the fields of `RerankBody` that it reads."""
    contract, known = dialect.contract, _schemas()[RerankBody]["properties"]
    inside = {name for names in contract.nested.values() for name in names}
    schema = _object_of(
        [name for name in contract.required if name not in inside],
        [name for name in (*contract.fields, *contract.shared) if name not in inside],
        known,
    )
    for outer, names in contract.nested.items():
        required = [name for name in names if name in contract.required]
        schema["properties"][outer] = {
            "description": "Fields of the request.",
            **_object_of(required, [name for name in names if name not in required], known),
        }
        schema["required"] += [outer] if required else []
    return {"title": f"{contract.title} request", **schema}


def _object_of(
    required: Iterable[str], optional: Iterable[str], known: Mapping[str, Schema]
) -> Schema:
    """Return the schema of an object with these fields."""
    return {
        "type": "object",
        "properties": {
            **{name: _without_null(known[name]) for name in required},
            **{name: known[name] for name in optional},
        },
        "required": list(required),
    }


@cache
def _schemas() -> Mapping[Any, Schema]:
    """Return the schemas of all types on the wire, by type."""
    types = _types()
    schemas, components = msgspec.json.schema_components(
        list(types.values()),
        schema_hook=lambda _kind: {"description": "Any value."},
        ref_template=_REF,
    )
    found = dict(zip(types, schemas, strict=True))
    return {**found, RerankBody: components["RerankBody"], "components": components}


def _types() -> dict[Any, Any]:
    """Return the types on the wire, by the key of their schema."""
    replies = [each.contract.reply for each in _DIALECTS] + [
        each.contract.error for each in _DIALECTS
    ]
    read = [each.reply for each in READS.values() if not isinstance(each.reply, str)]
    read += [each.json for each in READS.values() if each.json is not None]
    return {_key(kind): kind for kind in (RerankBody, Pair, *replies, *read)}


def _key(kind: Any) -> Any:
    return kind if isinstance(kind, type) else str(kind)


def _request_name(dialect: Dialect) -> str:
    return f"{dialect.name}_request"


def _without_null(schema: Schema) -> Schema:
    """Return the schema of a field that is required."""
    options = [option for option in schema["anyOf"] if option != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**rest, **(options[0] if len(options) == 1 else {"anyOf": options})}
