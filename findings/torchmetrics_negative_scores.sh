#!/usr/bin/env bash
# Retrieval metrics over the logits of a reranker.
# Version: torchmetrics 1.9.0, torch 2.13.0.
# Expected: a metric depends on the order of the scores; adding a number to all of them has no effect.
# Seen: reciprocal rank, average precision, precision and recall take a relevant document whose score
# is not above 0 for an irrelevant one. With logits below 0 they are 0.0 for the best possible ranking;
# nDCG, the hit rate and R-precision are 1.0. Nothing warns.
# torch is installed without the packages that this part does not import.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile --no-deps \
    torch==2.13.0 torchmetrics==1.9.0 lightning-utilities==0.15.3 numpy==2.4.6 \
    packaging==26.4 typing_extensions==4.16.0
cd "$folder"
venv/bin/python - <<'EOF'
import torch
from torchmetrics.retrieval import (
    RetrievalHitRate,
    RetrievalMAP,
    RetrievalMRR,
    RetrievalNormalizedDCG,
    RetrievalPrecision,
    RetrievalRecall,
    RetrievalRPrecision,
)

SIGNED = (RetrievalMRR, RetrievalMAP, RetrievalPrecision, RetrievalRecall)
OTHERS = (RetrievalNormalizedDCG, RetrievalHitRate, RetrievalRPrecision)


def values(metrics, logits):
    relevant, query = torch.tensor([True, False, False]), torch.zeros(3, dtype=torch.long)
    return [round(float(metric()(torch.tensor(logits), relevant, indexes=query)), 3) for metric in metrics]


for logits in ([3.0, 2.0, 1.0], [-1.0, -2.0, -3.0]):
    print(logits, values(SIGNED, logits), values(OTHERS, logits))
assert values(SIGNED, [3.0, 2.0, 1.0]) == [1, 1, 0.333, 1]
assert values(SIGNED, [-1.0, -2.0, -3.0]) == [0, 0, 0, 0]
assert values(OTHERS, [3.0, 2.0, 1.0]) == values(OTHERS, [-1.0, -2.0, -3.0]) == [1, 1, 1]
EOF
