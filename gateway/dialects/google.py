"""Google's ranking API: records with id, title and content in, the same with a score out.

A record is read as its title and its content, one a line. Google rounds scores to two digits; here
they are whole.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits
from gateway.dialects.field_parsers import check_size, parse_count, parse_flag, value_or_none
from gateway.dialects.plain_values import check_plain
from gateway.dialects.reply_fields import Details, reported_score, result_details
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import (
    check_document_count,
    parse_query,
    parse_shared_fields,
)
from gateway.dialects.status_names import status_name
from gateway.domain.errors import GatewayError, InvalidRequest
from gateway.domain.request import Document, RerankRequest, RerankResult, Scored

_TEXTS = ("title", "content")
_OWN = ("id", *_TEXTS)


class GoogleRecord(Details):
    """One record's score, with its title and content unless these are declined."""

    id: str
    score: float
    title: str | UnsetType = UNSET
    content: str | UnsetType = UNSET


class GoogleReply(Struct):
    """Google's reply."""

    records: list[GoogleRecord]


class GoogleErrorDetail(Struct):
    """The status of an error as a number and as a word, and its message."""

    code: int
    message: str
    status: str


class GoogleError(Struct):
    """Google's error."""

    error: GoogleErrorDetail


class Google:
    """The dialect of Google's Discovery Engine."""

    name = "google"
    contract = Contract(
        title="Google's ranking API",
        required=("query", "records"),
        fields=("topN", "top_n", "top_k", "ignoreRecordDetailsInResponse"),
        reply=GoogleReply,
        error=GoogleError,
        example={
            "query": "capital of France",
            "records": [
                {"id": "1", "title": "Berlin", "content": "Berlin is in Germany."},
                {"id": "2", "title": "Paris", "content": "Paris is in France."},
            ],
            "topN": 1,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        records = value_or_none(body.records)
        if records is None:
            raise InvalidRequest("records is missing: send a list of records", param="records")
        check_document_count(len(records), "records", limits)
        declined = parse_flag(body.ignoreRecordDetailsInResponse, "ignoreRecordDetailsInResponse")
        return RerankRequest(
            queries=(parse_query(body.query, "query", limits),),
            documents=tuple([_document(record, i, limits) for i, record in enumerate(records)]),
            documents_field="records",
            top_n=_top_n(body),
            return_documents=not declined,
            **parse_shared_fields(body, limits),
        )

    def render(self, request: RerankRequest, result: RerankResult) -> GoogleReply:
        return GoogleReply([_record(request, scored) for scored in result.top])

    def render_error(self, error: GatewayError, request_id: str) -> GoogleError:
        return GoogleError(GoogleErrorDetail(error.status, error.message, status_name(error)))


def _top_n(body: RerankBody) -> int | None:
    """Return the first of Google's name and ours that is there; 0 and less mean all."""
    for name in ("topN", "top_n", "top_k"):
        if (value := value_or_none(getattr(body, name))) is not None and value > 0:
            return parse_count(value, name)
    return None


def _document(record: dict[str, Any], index: int, limits: Limits) -> Document:
    name = f"records[{index}]"
    check_plain(record, name)
    for field in _OWN:
        if not isinstance(record.get(field, ""), str | None):
            raise InvalidRequest(f"{name}.{field}: expected a string", param=f"{name}.{field}")
    text = "\n".join([record[field] for field in _TEXTS if record.get(field)])
    if not text:
        raise InvalidRequest(f"{name} has neither title nor content: add one", param=name)
    check_size(text, name, limits.document_bytes)
    return Document(text, record)


def _record(request: RerankRequest, scored: Scored) -> GoogleRecord:
    fields: dict[str, Any] = dict(request.documents[scored.index].fields or {})
    texts = [fields.get(field) or UNSET for field in _TEXTS] if request.return_documents else []
    return GoogleRecord(
        fields.get("id") or "",
        reported_score(request, scored),
        *texts,
        **result_details(request, scored),
    )


GOOGLE = Google()
