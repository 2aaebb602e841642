"""NVIDIA NIM's ranking API: query and passages are objects, the scores are logits, best first.

NIM itself refuses passages that are too long unless `truncate` is `END`; here, as everywhere, they
are cut and that is reported, unless `truncate` is `NONE`.
"""

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.body import RerankBody
from gateway.dialects.reading import read_request
from gateway.dialects.showing import Details, Usage, details, shown_score, usage
from gateway.domain import RerankRequest, RerankResult, Scored


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
        fields=("top_n",),
        reply=NimReply,
        example={
            "query": {"text": "capital of France"},
            "passages": [{"text": "Berlin is in Germany."}, {"text": "Paris is in France."}],
            "truncate": "END",
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return read_request(body, limits, documents="passages")

    def render(self, request: RerankRequest, result: RerankResult) -> NimReply:
        return NimReply([_ranking(request, scored) for scored in result.top], usage(result))


def _ranking(request: RerankRequest, scored: Scored) -> NimRanking:
    shown_score(request, scored)  # refuses what is not finite
    return NimRanking(scored.index, scored.margin, **details(request, scored))


NIM = Nim()
