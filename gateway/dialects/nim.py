"""NVIDIA NIM's ranking API: query and passages are objects, the scores are logits, best first.

NIM itself rejects passages that are too long unless `truncate` is `END`. Here, as in every dialect,
they are cut with a warning, unless `truncate` is `NONE`.
"""

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import Details, Usage, reported_score, result_details, usage
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult, Scored


class NimRanking(Details):
    """One passage's margin."""

    index: int
    logit: float


class NimReply(Struct):
    """NIM's reply."""

    rankings: list[NimRanking]
    usage: Usage


class Nim(SharedErrors):
    """The dialect of NVIDIA's retrieval microservices."""

    name = "nim"
    contract = Contract(
        title="NVIDIA NIM",
        required=("query", "passages"),
        fields=("top_n", "top_k", "rank_fields"),
        reply=NimReply,
        example={
            "query": {"text": "capital of France"},
            "passages": [{"text": "Berlin is in Germany."}, {"text": "Paris is in France."}],
            "truncate": "END",
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits, documents="passages")

    def render(self, request: RerankRequest, result: RerankResult) -> NimReply:
        return NimReply([_ranking(request, scored) for scored in result.top], usage(result))


def _ranking(request: RerankRequest, scored: Scored) -> NimRanking:
    reported_score(request, scored)  # raises for a score that is not finite
    return NimRanking(scored.index, scored.margin, **result_details(request, scored))


NIM = Nim()
