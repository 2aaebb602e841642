#!/usr/bin/env bash
# A stage with one result, or with equal ones, in fusion by relative scores.
# Version: llama-index-core 0.14.25, QueryFusionRetriever, modes "relative_score", "dist_based_score".
# Expected: scores are relative to the stage's own list, so a number that is added to all of them has no
# effect.
# Seen: it has none, unless all scores of the list are equal: then they become 1.0 if they are above 0,
# and 0.0 if not. A lone result with the logit -0.1 counts nothing, with 0.1 it counts all.
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


other = {"b": 0.9, "c": 0.5, "d": 0.4, "e": 0.1}
for mode in ("relative_score", "dist_based_score"):
    below, above = fused(mode, {"a": -0.1}, other), fused(mode, {"a": 0.1}, other)
    print(mode, below, above)
    assert below["a"] == 0
    assert above["a"] == 0.5  # a stage's whole share
    assert fused(mode, {"a": -1, "b": -2}, other) == fused(mode, {"a": 3, "b": 2}, other)
EOF
