"""Rerank APIs of vendors and the gateway's own: one file each, and the table of their paths.

paths.py             the table of paths, and the detection of a dialect by the fields of a request
path_matching.py     the path of a request in the table: spellings, prefixes, models in paths
base.py              the interface of a dialect, limits, the shared error reply
media_types.py       JSON or MessagePack: negotiation and encoding
body_structure.py    limits of the number of values in a body, before it is decoded
structure.py         counts of values, and the memory that they take
msgpack_structure.py counts of the values in MessagePack
decoding.py          body bytes -> `RerankBody`
request_decoding.py  body bytes -> `RerankRequest` in a dialect: tolerant of types, with warnings
coercion.py          integers and booleans in the spellings that pydantic accepts
ignored_fields.py    the warning about fields without effect, and hints
request_body.py      `RerankBody`: every field of every API
request_parser.py    `RerankBody` -> `RerankRequest`: query, documents and what all dialects share
plain_values.py      the values that the object of a document may have
field_parsers.py     the other fields of a body
reply_fields.py      usage, results and details that several replies share
vector_dialect.py    requests for vectors, and their replies in parts
status_names.py      names of errors, as Google's APIs have them
tei_errors.py        the error reply of text-embeddings-inference
shared_api.py        the API in which every client finds its fields; the others are one file each
"""

from gateway.dialects.base import Contract, Dialect, ErrorReply, Limits
from gateway.dialects.body_structure import check_structure
from gateway.dialects.decoding import decode, field_names
from gateway.dialects.media_types import (
    ENCODERS,
    MESSAGEPACK_STARTS,
    MediaType,
    encode,
    prefers_html,
    prefers_json,
    reply_media_type,
    request_media_type,
)
from gateway.dialects.path_matching import (
    ADMIN_PREFIX,
    UNKNOWN_PATH,
    dialect_of,
    match_path,
    match_request,
    squeezed,
)
from gateway.dialects.paths import (
    ALL_PATHS,
    DIALECTS,
    FIELD_SIGNATURES,
    PATHS,
    VECTOR_DIALECTS,
    VECTOR_PATHS,
    RerankPath,
)
from gateway.dialects.request_body import IGNORED_FIELDS, SHARED_FIELDS, RerankBody
from gateway.dialects.request_decoding import DecodedRequest, decode_request, parse_body
from gateway.dialects.vector_dialect import VectorDialect, reply_parts

__all__ = [
    "ADMIN_PREFIX",
    "ALL_PATHS",
    "DIALECTS",
    "ENCODERS",
    "FIELD_SIGNATURES",
    "IGNORED_FIELDS",
    "MESSAGEPACK_STARTS",
    "PATHS",
    "SHARED_FIELDS",
    "UNKNOWN_PATH",
    "VECTOR_DIALECTS",
    "VECTOR_PATHS",
    "Contract",
    "DecodedRequest",
    "Dialect",
    "ErrorReply",
    "Limits",
    "MediaType",
    "RerankBody",
    "RerankPath",
    "VectorDialect",
    "check_structure",
    "decode",
    "decode_request",
    "dialect_of",
    "encode",
    "field_names",
    "match_path",
    "match_request",
    "parse_body",
    "prefers_html",
    "prefers_json",
    "reply_media_type",
    "reply_parts",
    "request_media_type",
    "squeezed",
]
