#!/usr/bin/env bash
# A pair of equal texts as a key of diskcache.
# Version: diskcache 5.6.3.
# Expected: equal tuples are one key, as in a dict.
# Seen: a key is its pickle. A tuple that holds one string object twice is pickled otherwise than
# one of two equal strings: what was stored for the first is not found by the second, though they
# are equal. A query and a document with the same text, as the parts of a key, meet this.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'diskcache==5.6.3'
cd "$folder"
venv/bin/python - <<'EOF'
import diskcache

text = "capital of france"
twin = " ".join(["capital", "of", "france"])
assert text == twin and text is not twin
with diskcache.Cache("cache") as cache:
    cache[text, text] = 0.5
    seen = [cache.get(key) for key in ((text, text), (text, twin))]
    print("the same object", seen[0], "an equal one", seen[1])
    assert (text, text) == (text, twin)
    assert seen == [0.5, None]
    cache["query", text] = 0.25
    assert cache.get(("query", twin)) == 0.25
EOF
