#!/usr/bin/env bash
# Ties in two cuts of one measure.
# Version: ir-measures 0.4.3 with pytrec-eval-terrier 0.5.11.
# Expected: RR and RR@10 of a list of two documents are equal.
# Seen: another provider computes RR@10. It gives a tie to the id that sorts first, RR to the one
# that sorts last: for the relevant document "a" beside "b" with the same score RR is 0.5 and RR@10
# is 1.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'ir-measures==0.4.3' 'pytrec-eval-terrier==0.5.11' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'EOF'
from ir_measures import RR, Qrel, ScoredDoc, calc_aggregate

judged = [Qrel("1", "a", 1), Qrel("1", "b", 0)]
run = [ScoredDoc("1", "a", 0.5), ScoredDoc("1", "b", 0.5)]
seen = calc_aggregate([RR, RR @ 10], judged, run)
print(seen)
assert seen == {RR: 0.5, RR @ 10: 1.0}
EOF
