#!/usr/bin/env bash
# Arrays of numpy that are views of others, in safetensors files.
# Version: safetensors 0.8.0, numpy 2.4.6.
# Expected: a transposed array, or every second number of one, comes back as it was; or an error, as
# safetensors.torch gives for them.
# Seen: shape and number format come back with other numbers, those that lie first in memory. Nothing
# warns. numpy.ascontiguousarray before saving helps.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    safetensors==0.8.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from safetensors.numpy import load, save

weights = np.arange(6.0).reshape(2, 3)
for name, view in (("transposed", weights.T), ("every second", np.arange(8.0)[::2])):
    back = load(save({"w": view}))["w"]
    print(name, view.tolist(), "came back as", back.tolist())
    assert back.shape == view.shape and not np.array_equal(back, view)
    assert np.array_equal(load(save({"w": np.ascontiguousarray(view)}))["w"], view)
EOF
