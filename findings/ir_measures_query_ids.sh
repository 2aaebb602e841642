#!/usr/bin/env bash
# The effect of a query's id on a measure.
# Version: ir-measures 0.4.3 with pytrec-eval-terrier 0.5.11; needs perl.
# Expected: the id of a query is a name, and changes no figure.
# Seen: ERR@10 for the query "PLAIN-2" is half of that for "1", without a warning. So is nDCG with
# exponential gains (dcg='exp-log2'). nDCG@10 is the same for both.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'ir-measures==0.4.3' 'pytrec-eval-terrier==0.5.11' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'EOF'
from ir_measures import ERR, Qrel, ScoredDoc, calc_aggregate, nDCG

measures = [ERR @ 10, nDCG(dcg="exp-log2") @ 10, nDCG @ 10]
seen = {}
for query in ("1", "PLAIN-2"):
    judged = [Qrel(query, "a", 1), Qrel(query, "b", 2)]
    run = [ScoredDoc(query, "a", 2.0), ScoredDoc(query, "b", 1.0)]
    found = calc_aggregate(measures, judged, run)
    seen[query] = [found[measure] for measure in measures]
    print(query, found)
ratios = [b / a for a, b in zip(seen["1"], seen["PLAIN-2"])]
print("ratios", ratios)
assert [round(ratio, 3) for ratio in ratios] == [0.5, 0.5, 1.0]
EOF
