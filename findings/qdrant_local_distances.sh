#!/usr/bin/env bash
# Distribution-based score fusion over a vector that is compared by distance.
# Version: qdrant-client 1.20.0, local mode (":memory:").
# Expected: the nearest point of a search by Euclidean distance is the best of the fusion, too.
# Seen: distances are fused as if the larger were the better, so the farthest point comes first, with
# one search or beside others. Fusion by ranks keeps the order. A server was not tried.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    qdrant-client==1.20.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
from qdrant_client import QdrantClient, models

client = QdrantClient(":memory:")
for name in (models.Distance.EUCLID, models.Distance.DOT):
    vectors = models.VectorParams(size=1, distance=name)
    client.create_collection(name, vectors_config=vectors)
    points = [models.PointStruct(id=number, vector=[float(number)]) for number in (1, 2, 3)]
    client.upsert(name, points)


def order(name, query, fusion=None):
    if fusion:
        search = {"prefetch": models.Prefetch(query=query), "query": models.FusionQuery(fusion=fusion)}
    else:
        search = {"query": query}
    return [point.id for point in client.query_points(name, **search).points]


for name, query in ((models.Distance.EUCLID, [0.0]), (models.Distance.DOT, [1.0])):
    plain, ranks = order(name, query), order(name, query, models.Fusion.RRF)
    scores = order(name, query, models.Fusion.DBSF)
    print(name.value, "search", plain, "fused by ranks", ranks, "by scores", scores)
    assert plain == ranks
    assert (scores == plain) == (name == models.Distance.DOT)
    assert sorted(scores, key=plain.index) == (scores if name == models.Distance.DOT else scores[::-1])
EOF
