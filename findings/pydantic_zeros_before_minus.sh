#!/usr/bin/env bash
# Integers that servers built on FastAPI and pydantic accept in a string.
# Version: pydantic 2.14.3.
# Expected: "0-5", as a `top_n`, is an error, as int("0-5") is.
# Seen: zeros before a minus are dropped: "0-5" and "00-5" are -5, "0-0" is 0. "1-5" and "0+5" are
# errors.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'pydantic==2.14.3'
cd "$folder"
venv/bin/python - <<'EOF'
from pydantic import TypeAdapter, ValidationError

integer = TypeAdapter(int)


def read(text: str) -> object:
    try:
        return integer.validate_python(text)
    except ValidationError:
        return "error"


seen = {text: read(text) for text in ("0-5", "00-5", "0-0", "1-5", "0+5")}
print(seen)
assert seen == {"0-5": -5, "00-5": -5, "0-0": 0, "1-5": "error", "0+5": "error"}
EOF
