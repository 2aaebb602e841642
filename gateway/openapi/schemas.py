"""The schemas of what is sent and answered, made from the structs on the wire."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from gateway.dialects import DIALECTS, SHARED_FIELDS, Dialect, RerankBody
from gateway.dialects.body import Pair
from gateway.endpoints import READS

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"


def schema_of(kind: Any) -> Schema:
    """Return the schema of a type on the wire, mostly a reference to its component."""
    return _schemas()[_key(kind)]


def schema_of_request(dialect: Dialect) -> Schema:
    """Return a reference to the schema of a dialect's request."""
    return {"$ref": _REF.format(name=_request_name(dialect))}


def schema_components() -> Schema:
    """Return every named schema."""
    components = dict(_schemas()["components"])
    del components["RerankBody"]
    return components | {_request_name(one): _request_schema(one) for one in DIALECTS}


def any_of(schemas: list[Schema]) -> Schema:
    """Return a schema for what any of these fits."""
    different = [one for at, one in enumerate(schemas) if one not in schemas[:at]]
    return different[0] if len(different) == 1 else {"anyOf": different}


def _request_schema(dialect: Dialect) -> Schema:
    """Return the schema of a dialect's request: the fields of `RerankBody` that it reads."""
    contract, known = dialect.contract, _schemas()[RerankBody]["properties"]
    required = {name: _without_null(known[name]) for name in contract.required}
    optional = {name: known[name] for name in (*contract.fields, *SHARED_FIELDS)}
    return {
        "title": f"{contract.title} request",
        "type": "object",
        "properties": {**required, **optional},
        "required": list(contract.required),
    }


@cache
def _schemas() -> Mapping[Any, Schema]:
    """Return the schema of every type on the wire, by the type."""
    types = _types()
    schemas, components = msgspec.json.schema_components(
        list(types.values()),
        schema_hook=lambda _kind: {"description": "Any value."},
        ref_template=_REF,
    )
    found = dict(zip(types, schemas, strict=True))
    return {**found, RerankBody: components["RerankBody"], "components": components}


def _types() -> dict[Any, Any]:
    """Return the types on the wire, by what finds their schema."""
    replies = [one.contract.reply for one in DIALECTS] + [one.contract.error for one in DIALECTS]
    read = [one.reply for one in READS.values() if not isinstance(one.reply, str)]
    return {_key(kind): kind for kind in (RerankBody, Pair, *replies, *read)}


def _key(kind: Any) -> Any:
    return kind if isinstance(kind, type) else str(kind)


def _request_name(dialect: Dialect) -> str:
    return f"{dialect.name}_request"


def _without_null(schema: Schema) -> Schema:
    """Return the schema of a field that must be there."""
    options = [one for one in schema["anyOf"] if one != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**rest, **(options[0] if len(options) == 1 else {"anyOf": options})}
