#!/usr/bin/env bash
# The order of tied documents in lists of different lengths.
# Version: ranx 0.3.21 with numba 0.68.1.
# Expected: one rule for ties, whatever the length.
# Seen: up to 15 tied documents keep the order in which they were given; of 16 the first fifteen are
# reversed, and of 50 they are scrambled.
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
from ranx import Qrels, Run, evaluate


def ranks(count):
    names = [f"d{number:03d}" for number in range(count)]
    run = {"q": dict.fromkeys(names, 0.5)}
    values = (
        evaluate(Qrels.from_dict({"q": {name: 1}}), Run.from_dict(run), "mrr") for name in names
    )
    return [round(1 / value) for value in values]


for count in (15, 16, 50):
    print(count, ranks(count))
assert ranks(15) == list(range(1, 16))
assert ranks(16) == [*range(15, 0, -1), 16]
assert ranks(50) not in (list(range(1, 51)), list(range(50, 0, -1)))
EOF
