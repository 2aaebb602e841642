#!/usr/bin/env bash
# The weight of a word that stands in half of the documents.
# Version: rank-bm25 0.2.2, BM25Okapi.
# Expected: the rarer of two words weighs more.
# Seen: a word in two of four documents weighs exactly 0; a word in three of four weighs 0.14, as
# only negative weights are replaced by a floor. With two documents every word of one of them weighs
# 0: a document that matches scores like one that does not.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'rank-bm25==0.2.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'EOF'
from rank_bm25 import BM25Okapi

four = BM25Okapi([["common", "half"], ["common", "half"], ["common", "x"], ["y", "z"]])
print({word: four.idf[word] for word in ("common", "half", "x")})
assert four.idf["half"] == 0.0 < four.idf["common"] < four.idf["x"]
two = BM25Okapi([["paris", "france"], ["berlin", "germany"]])
print(two.get_scores(["paris"]))
assert list(two.get_scores(["paris"])) == [0.0, 0.0]
EOF
