#!/usr/bin/env bash
# Hybrid search in which one document alone has the word.
# Version: lancedb 0.40.0, LinearCombinationReranker.
# Expected: with weight=0.3, the share of vectors, the only document with the word of the query is near
# the top; with weight=0.0 it is alone at the top.
# Seen: BM25 is moved to [0, 1] by the least and the largest value of the list, and the lone match has
# 0, as if it had not matched: it comes last. So does the worst of several matches. With
# normalize="rank" it is the same; RRFReranker, the default, puts it first.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    lancedb==0.40.0 pyarrow==26.0.1
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import lancedb
from lancedb.rerankers import LinearCombinationReranker, RRFReranker

texts = ["river", "meadow", "forest", "mountain", "valley", "zebra"]
rows = [{"text": text, "vector": [float(place), 1.0]} for place, text in enumerate(texts)]
table = lancedb.connect("data").create_table("texts", data=rows)
table.create_fts_index("text")


def found(reranker, normalize="score"):
    search = table.search(query_type="hybrid").vector([0.0, 1.0]).text("zebra")
    rows = search.rerank(reranker, normalize=normalize).limit(9).to_list()
    return [(row["text"], round(row["_relevance_score"], 3)) for row in rows]


print("ranks", found(RRFReranker()))
assert found(RRFReranker())[0][0] == "zebra"
for normalize in ("score", "rank"):
    ranking = found(LinearCombinationReranker(weight=0.3), normalize)
    print(normalize, ranking)
    assert ranking[-1] == ("zebra", 0)
    words_only = found(LinearCombinationReranker(weight=0.0), normalize)
    assert {score for _, score in words_only} == {0}
EOF
