#!/usr/bin/env bash
# The default threshold of a postprocessor, for the logits of a reranker.
# Version: llama-index-core 0.14.25, SimilarityPostprocessor.
# Expected: without arguments no result is dropped.
# Seen: the default of similarity_cutoff is 0.0, so results with a negative score are dropped: of
# rerankers that give logits, good results too. None, which would mean no threshold, is refused. Results
# without a score are dropped at any threshold, -inf included.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    llama-index-core==0.14.25
cd "$folder"
venv/bin/python - <<'EOF'
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.schema import NodeWithScore, TextNode


def kept(scores, **options):
    nodes = [NodeWithScore(node=TextNode(text="text"), score=score) for score in scores]
    return [node.score for node in SimilarityPostprocessor(**options).postprocess_nodes(nodes)]


scores = [2.5, -0.5, -3.0, None]
default, least = kept(scores), kept(scores, similarity_cutoff=float("-inf"))
print("default", default, "from -inf", least)
assert default == [2.5] and least == [2.5, -0.5, -3.0]
try:
    kept(scores, similarity_cutoff=None)
except ValueError as error:
    print("None is refused:", str(error).splitlines()[2].strip())
else:
    raise AssertionError("None is a threshold")
EOF
