#!/usr/bin/env bash
# Weights of the stages in reciprocal rank fusion.
# Version: llama-index-core 0.14.25, QueryFusionRetriever.
# Expected: retriever_weights=[0.99, 0.01] gives the first stage nearly all of the weight, in the mode
# "reciprocal_rerank" as in the others.
# Seen: it is accepted and has no effect in "reciprocal_rerank" and in "simple", the default mode; it
# counts in "relative_score" and in "dist_based_score". Nothing warns.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    llama-index-core==0.14.25
cd "$folder"
venv/bin/python - <<'EOF'
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, TextNode


class Stage(BaseRetriever):
    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def _retrieve(self, query_bundle):
        return [
            NodeWithScore(node=TextNode(text=name, id_=name), score=score)
            for name, score in self.scores.items()
        ]


def fused(mode, *stages, weights=None):
    retriever = QueryFusionRetriever(
        [Stage(scores) for scores in stages],
        llm=MockLLM(),
        mode=mode,
        num_queries=1,
        use_async=False,
        similarity_top_k=9,
        retriever_weights=weights,
    )
    return {node.text: round(node.score, 4) for node in retriever.retrieve("query")}


first, second = {"a": 0.9, "b": 0.5, "c": 0.1}, {"c": 0.8, "b": 0.4, "d": 0.2}
counts = {}
for mode in ("simple", "reciprocal_rerank", "relative_score", "dist_based_score"):
    one = fused(mode, first, second, weights=[0.99, 0.01])
    other = fused(mode, first, second, weights=[0.01, 0.99])
    counts[mode] = one != other
    print(mode, one, other)
assert counts == {
    "simple": False,
    "reciprocal_rerank": False,
    "relative_score": True,
    "dist_based_score": True,
}
EOF
