#!/usr/bin/env bash
# Int8 products of PyTorch on a CPU without VNNI.
# Version: torch 2.13.0 for CPUs (oneDNN), ONEDNN_MAX_CPU_ISA=AVX2, which hides VNNI.
# Expected: torch.ops.onednn.qlinear_pointwise (u8 states, s8 weights) is right, and at worst some
# times slower than fp32, whatever format the result has.
# Seen: with a result in bf16 a reference loop runs, thousands of times slower than fp32; with one
# in fp32 a fast kernel runs whose sums saturate in 16 bits: wrong by a tenth of the largest
# number. Neither warns. torch is installed without the packages that this part does not import.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile --no-deps \
    'torch==2.13.0' 'typing_extensions==4.16.0'
cd "$folder"
venv/bin/python - <<'EOF'
import os
import time
import warnings

warnings.simplefilter("ignore")  # numpy is not installed
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
import torch

torch.set_num_threads(1)
torch.manual_seed(0)
states = torch.randint(0, 255, (32, 256), dtype=torch.uint8)
codes = torch.randint(-127, 127, (256, 256), dtype=torch.int8)
packed = torch.ops.onednn.qlinear_prepack(codes, None)
scales, zeros = torch.full((256,), 0.01), torch.zeros(256, dtype=torch.int64)
exact = (states.double() * 0.1) @ (codes.double().t() * 0.01)


def product(form):
    return torch.ops.onednn.qlinear_pointwise(
        *(states, 0.1, 0, packed, scales, zeros, None, 1.0, 0, form, "none", [], "")
    )


def seconds(call):
    call()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


plain = seconds(lambda: states.float() @ codes.float().t())
seen = {}
for form in (torch.bfloat16, torch.float32):
    slower = seconds(lambda: product(form)) / plain
    error = float((product(form).double() - exact).abs().max() / exact.abs().max())
    seen[form] = (slower, error)
    print(f"{form}: {slower:.1f} times the time of fp32, wrong by {error:.4f} of the largest")
assert seen[torch.bfloat16][0] > 20 and seen[torch.bfloat16][1] < 0.01
assert seen[torch.float32][0] < 20 and seen[torch.float32][1] > 0.02
EOF
