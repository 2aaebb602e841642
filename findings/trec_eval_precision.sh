#!/usr/bin/env bash
# trec_eval's order of scores that differ beyond single precision.
# Version: pytrec-eval-terrier 0.5.11.
# Expected: a document with the higher score ranks first.
# Seen: scores are read as 32-bit floats. Two sigmoids of 1 - 1e-9 and 1 - 2e-9 are a tie, and a tie
# goes to the id that sorts last: the best document is second, recip_rank 0.5.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'pytrec-eval-terrier==0.5.11' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'EOF'
import pytrec_eval

run = {"q": {"a": 1 - 1e-9, "b": 1 - 2e-9}}
assert run["q"]["a"] > run["q"]["b"]
seen = pytrec_eval.RelevanceEvaluator({"q": {"a": 1, "b": 0}}, {"recip_rank"}).evaluate(run)
print(seen)
assert seen["q"]["recip_rank"] == 0.5
EOF
