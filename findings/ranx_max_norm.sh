#!/usr/bin/env bash
# Fusion of logits that are all negative with norm="max".
# Version: ranx 0.3.21 with numba 0.68.1.
# Expected: scores are divided by the largest one or by the largest absolute one.
# Seen: scores are multiplied by 1e9, without a warning, so the other run of the fusion has no
# effect. Logits with a positive one among them are divided by the largest.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile --no-deps \
    ranx==0.3.21 numba==0.68.1 numpy==2.4.6 PyYAML==6.0.4 cbor2==6.3.0 certifi==2026.10.19.post1 \
    charset-normalizer==3.5.3 cycler==0.12.1 fonttools==4.68.0 idna==3.20 ir_datasets==0.6.3 \
    kiwisolver==1.5.1 llvmlite==0.50.0 lz4==4.4.5 matplotlib==3.11.2 orjson==3.13.0 \
    packaging==26.4 pandas==3.1.1 pillow==13.0.0 pyparsing==3.3.3 python-dateutil==4.0.0 \
    requests==2.34.2 rich==15.0.0 scipy==1.17.1 seaborn==0.13.2 tabulate==0.10.0 tqdm==4.70.1 \
    urllib3==2.8.0 contourpy==1.3.3
cd "$folder"
venv/bin/python - <<'EOF'
from ranx import Run, fuse

flat = {"q": {"a": 0.2, "b": 0.9, "c": 0.1}}
seen = {}
for name, logits in (("negative", (-1.0, -2.0, -4.0)), ("mixed", (4.0, -2.0, -4.0))):
    run = {"q": dict(zip("abc", logits))}
    fused = fuse([Run.from_dict(run), Run.from_dict(flat)], norm="max", method="sum")
    seen[name] = {key: float(value) for key, value in dict(fused.run)["q"].items()}
    print(name, seen[name])
assert all(value < -9e8 for value in seen["negative"].values())
assert all(abs(value) < 3 for value in seen["mixed"].values())
EOF
