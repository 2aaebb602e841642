"""From a body to a request: what all dialects do in the same way, under the names they give it."""

from typing import Any

from gateway.dialects.base import Limits
from gateway.dialects.body import SHARED_FIELDS, RerankBody
from gateway.dialects.documents import read_documents, read_query
from gateway.dialects.fields import (
    read_cut,
    read_flag,
    read_instruction,
    read_max_tokens_per_doc,
    read_model,
    read_most_passages,
    read_raw_scores,
    read_top_n,
    sent,
)
from gateway.domain import RerankRequest


def read_request(
    body: RerankBody,
    limits: Limits,
    *,
    documents: str = "documents",
    returns: str = "return_documents",
) -> RerankRequest:
    """Read a request of one query.

    Args:
        body: what was sent.
        limits: what it may hold.
        documents: the field with the documents.
        returns: the flag that asks for them in the reply.

    Raises:
        InvalidRequest: a field is missing, wrong, or over a limit.
    """
    return RerankRequest(
        queries=(read_query(body.query, "query", limits),),
        documents=read_documents(
            getattr(body, documents), documents, limits, sent(body.rank_fields) or ()
        ),
        documents_field=documents,
        top_n=read_top_n(body),
        return_documents=read_flag(getattr(body, returns), returns),
        **read_shared(body, limits),
    )


def read_shared(body: RerankBody, limits: Limits) -> dict[str, Any]:
    """Read the fields of a request that mean the same in every dialect: `SHARED_FIELDS`."""
    keys = body.keys
    shared = {"model": read_model(body), "keys": keys}
    if keys.isdisjoint(_RARE):
        return shared
    cut = read_cut(body)
    return {
        **shared,
        "instruction": read_instruction(body, limits),
        "max_tokens_per_doc": read_max_tokens_per_doc(body),
        "raw_scores": read_raw_scores(body),
        "keep_end": cut.keep_end,
        "long_documents": cut.policy,
        "may_cut": cut.may_cut,
        "most_passages": read_most_passages(body),
        "return_details": read_flag(body.return_details, "return_details"),
    }


_RARE = frozenset(SHARED_FIELDS) - {"model"}
"""What most requests have none of."""
