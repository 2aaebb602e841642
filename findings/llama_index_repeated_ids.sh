#!/usr/bin/env bash
# Average precision and nDCG of a list that holds a document more than once.
# Version: llama-index-core 0.14.25.
# Expected: both are at most 1; the second time a document comes, it counts nothing.
# Seen: each repetition counts as another relevant document: with two expected ids and one of them
# found three times, average precision is 1.5 and nDCG 1.31. Recall of the same list is 0.5. Lists of
# passages that were mapped to the ids of their documents are such lists.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    llama-index-core==0.14.25
cd "$folder"
venv/bin/python - <<'EOF'
from llama_index.core.evaluation.retrieval.metrics import NDCG, AveragePrecision, Recall


def value(metric, found):
    return round(metric().compute(expected_ids=["a", "b"], retrieved_ids=found).score, 2)


for found in (["a", "b", "c"], ["a", "a", "a"]):
    print(found, {metric.__name__: value(metric, found) for metric in (AveragePrecision, NDCG, Recall)})
assert value(AveragePrecision, ["a", "b", "c"]) == value(NDCG, ["a", "b", "c"]) == 1
assert value(AveragePrecision, ["a", "a", "a"]) == 1.5
assert value(NDCG, ["a", "a", "a"]) == 1.31
assert value(Recall, ["a", "a", "a"]) == 0.5
EOF
