"""The rerank APIs of others, and ours: one file each, and the table of where they are spoken."""

from gateway.dialects.base import Contract, Dialect, ErrorReply, Limits
from gateway.dialects.body import SHARED_FIELDS, WITHOUT_EFFECT, RerankBody
from gateway.dialects.decoding import decode, sent_keys
from gateway.dialects.media import Form, encode, prefers_page, reply_form, request_form
from gateway.dialects.places import (
    DIALECTS,
    ELSEWHERE,
    MODEL_PREFIX,
    PATHS,
    SIGNALS,
    Place,
    dialect_of,
    place_of,
)

__all__ = [
    "DIALECTS",
    "ELSEWHERE",
    "MODEL_PREFIX",
    "PATHS",
    "SHARED_FIELDS",
    "SIGNALS",
    "WITHOUT_EFFECT",
    "Contract",
    "Dialect",
    "ErrorReply",
    "Form",
    "Limits",
    "Place",
    "RerankBody",
    "decode",
    "dialect_of",
    "encode",
    "place_of",
    "prefers_page",
    "reply_form",
    "request_form",
    "sent_keys",
]
