#!/usr/bin/env bash
# A score that is not a number, kept in diskcache.
# Version: diskcache 5.6.3.
# Expected: a float comes back as it was stored, or the cache refuses it.
# Seen: NaN comes back as None, which get() returns for an absent key as well, though the key is
# there. Infinities and -0.0 come back as they were.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'diskcache==5.6.3'
cd "$folder"
venv/bin/python - <<'EOF'
import math

import diskcache

with diskcache.Cache("cache") as cache:
    for key, value in {"nan": math.nan, "inf": math.inf, "zero": -0.0}.items():
        cache[key] = value
        print(key, repr(value), "->", repr(cache[key]))
    assert "nan" in cache and cache["nan"] is None
    assert cache["inf"] == math.inf
    assert math.copysign(1, cache["zero"]) == -1
EOF
