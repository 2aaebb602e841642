"""The kernels under the compiler's sanitizers: no address is wrong, no arithmetic undefined.

In a process of its own, over lengths around every size of tiles and blocks. The sanitizer does not
see masked loads and stores, so each tensor ends where a page without access begins. Other tests
compare the results.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shards.native.build import FOLDER, build, compiler, obstacle
from tests.shards.native.here import needs_avx2, needs_kernels

FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")

GUARDED = """
import ctypes, math, mmap, sys
import torch
from shards.native.library import Kernels

runs = getattr(ctypes.CDLL(sys.argv[1]), "native_runs_" + sys.argv[2].replace("-", "_"))
assert runs()  # and asks for the state of tiles
library = Kernels(sys.argv[1], sys.argv[2])
torch.set_num_threads(2)
protect = ctypes.CDLL(None, use_errno=True).mprotect
protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

def ones(*shape: int, form: torch.dtype = torch.bfloat16) -> torch.Tensor:
    size = form.itemsize * math.prod(shape)
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, pages + mmap.PAGESIZE)
    whole = torch.frombuffer(memory, dtype=torch.uint8)
    assert protect(whole.data_ptr() + pages, mmap.PAGESIZE, 0) == 0
    return whole[pages - size : pages].view(form).view(shape).fill_(1)

torch.empty = lambda *shape, dtype=torch.float32: ones(*shape, form=dtype)  # the results of kernels
"""

CALLS = """
from shards.native.attention import SegmentAttention
from shards.native.int8_product import Int8Product
from shards.native.encoder import Codes, Finish, Projection, Rest
from shards.native.normed import Norm, Norms
from shards.native.rows import Scaled, row_adder, row_converter, row_gate
from shards.native.split import QkvBuffers, qkv_splitter
from shards.native.bf16_product import Bf16Product

def attend(
    length: int, past: int, share: int, dim: int, causal: bool, reach: int | None = None
) -> None:
    queries, out = ones(2, length, share * dim), ones(2, length, share * dim)
    keys, values = ones(2, past + length, dim), ones(2, past + length, dim)
    spans = [(0, past), (past, length)] if past else [(0, length)]
    attention = SegmentAttention(library, [((0, length), spans)], causal=causal, reach=reach)
    attention(queries, keys, values, out)
    assert bool((out == 1).all())

for length in (1, 17, 130, 257):
    for past in (0, 1, 256):
        for share, dim in ((1, 2), (1, 26), (2, 64), (3, 128), (1, 160), (2, 256)):
            attend(length, past, share, dim, causal=past != 1)
    for reach in (0, 64, 100):
        attend(length, 0, 1, 64, causal=False, reach=reach)
def through_rows(rows: int, width: int, form: torch.dtype, out: torch.dtype) -> None:
    weight = ones(width, form=torch.float32)
    scaled = Scaled(ones(rows, width, form=form), ones(rows, form=torch.float32))
    states, more = ones(rows, width, form=form), ones(rows, 2 * width, form=form)
    norms = Norms(library, out)
    norms.rms(states, weight, 1e-6)
    norms.rms(states, weight, 1e-6, scaled)
    row_gate(library, out)(more)
    row_converter(library, out)(scaled)
    row_adder(library)(states, scaled)
    if out != torch.uint8:
        norms.layer(scaled, states, weight, weight, 1e-6)

def split(rows: int, groups: int, share: int, dim: int, form: torch.dtype) -> None:
    heads = groups * (2 + share)
    product = ones(rows, heads * dim, form=form)
    norms = ones(heads - groups, dim, form=torch.float32)
    turns = ones(rows, 1, dim // 2, form=torch.complex64)
    buffers = [ones(groups, rows, wide * dim, form=form) for wide in (1, 1, share)]
    qkv_splitter(library)(product, norms, turns, 1e-6, QkvBuffers(*buffers))

def encode(rows: int, width: int, wide: int, form: torch.dtype) -> None:
    def codes(outputs: int, inputs: int) -> Codes:
        weights, ends = ones(outputs, inputs, form=torch.int8), ones(outputs, form=torch.float32)
        return Codes(weights, ends, ends, 128)

    weight, states = ones(width, form=torch.float32), ones(rows, width, form=form)
    norm, up = Norm(weight, weight, 1e-6), codes(wide, width)
    out, down = codes(width, width), codes(width, wide)
    rest = Rest(out=out, first=norm, shares=weight, up=up, gelu=0.1, down=down, second=norm)
    Finish(library, rest)(ones(rows, width, form=form), states)
    Projection(library, codes(3 * width, width), weight, 6)(states)

def product(rows: int, inputs: int, outputs: int, form: torch.dtype) -> None:
    weights = [ones(16, inputs, form=form), ones(outputs - 16, inputs, form=form)]
    codes, scales = ones(rows, inputs, form=torch.uint8), ones(rows, form=torch.float32)
    found = Int8Product(library, weights, ones(outputs, form=torch.float32))(Scaled(codes, scales))
    assert bool(found.isfinite().all())
    states = ones(rows, inputs, form=torch.bfloat16)
    found = Bf16Product(library, weights, ones(outputs, form=form))(states)
    assert bool(found.isfinite().all())

forms = (torch.float32, torch.bfloat16)
for form in forms:
    for rows, width, wide in ((1, 4, 4), (7, 36, 132), (100, 64, 256), (20, 768, 3072)):
        encode(rows, width, wide, form)
    for rows, width in ((1, 1), (17, 33), (40, 64), (9, 1000), (3, 32768)):
        for out in (*forms, torch.uint8):
            through_rows(rows, width, form, out)
    for rows, inputs, outputs in ((1, 4, 64), (13, 60, 192), (25, 64, 64), (300, 132, 128)):
        product(rows, inputs, outputs, form)
    for rows, groups, share, dim in ((1, 1, 1, 2), (5, 2, 2, 26), (90, 3, 1, 128)):
        split(rows, groups, share, dim, form)
print("sound")
"""

AVX2_CALLS = """
from shards.native.avx2_product import Avx2Product

torch.zeros = lambda *shape, dtype=torch.float32: ones(*shape, form=dtype).zero_()
for form in (torch.float32, torch.bfloat16):
    for rows, inputs, outputs in ((1, 1, 1), (5, 17, 16), (13, 60, 70), (300, 131, 128)):
        weights = [ones(outputs, inputs, form=form), ones(3, inputs, form=form)]
        product = Avx2Product(library, weights, ones(outputs + 3, form=torch.float32))
        found = product(ones(rows, inputs, form=torch.float32))
        torch.testing.assert_close(found, torch.full_like(found, inputs + 1), rtol=1e-4, atol=1e-4)
        assert bool(product(ones(rows, inputs, form=torch.float32) * math.nan).isnan().all())
print("sound")
"""


@needs_kernels
@pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
def test_no_address_is_wrong_and_no_arithmetic_undefined(tier: str, tmp_path: Path) -> None:
    are_sound(tmp_path, tier, GUARDED + CALLS)


@needs_avx2
@pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
def test_neither_is_any_of_the_kernels_for_avx2(narrow_tier: str, tmp_path: Path) -> None:
    are_sound(tmp_path, narrow_tier, GUARDED + AVX2_CALLS)


def are_sound(tmp_path: Path, tier: str, calls: str) -> None:
    """Run calls of kernels that are compiled with the sanitizers."""
    preloaded = sanitizer()
    if not preloaded.is_absolute():
        pytest.skip("this compiler has no address sanitizer")
    build(tmp_path / "sanitised.so", extra=FLAGS)
    done = subprocess.run(
        [sys.executable, "-c", calls, tmp_path / "sanitised.so", tier],
        capture_output=True,
        text=True,
        cwd=FOLDER.parents[1],
        check=False,
        env=os.environ | {"LD_PRELOAD": str(preloaded), "ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert (done.returncode, done.stdout) == (0, "sound\n"), done.stderr[-3000:]


def sanitizer() -> Path:
    """Return the path of the address sanitizer's library; a bare name if there is none."""
    command = [*compiler(), "-print-file-name=libasan.so"]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
