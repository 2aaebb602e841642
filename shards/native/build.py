"""Compilation of the kernels: `python -m shards.native.build`. Standard library only.

Run when the package is installed (`hatch_build.py`), by `scripts/setup` and before the tests; it
does nothing when the library is up to date. The library holds a digest of its sources, so one that
was compiled from other sources is never loaded. `CC` names another compiler.

Kernels are compiled once for each tier of instructions, from the same sources; the names of the
kernels of a tier end with its name. `cpu.c` tests which of them may run; it and `threads.c` run on
every CPU. The kernels are not linked with an OpenMP of their own: its threads would compete with
those of PyTorch's, which is in the process already and is found there (`threads.c`).
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "kernels.so"
MACHINES = frozenset({"x86_64", "AMD64"})
_IN_CHECKOUT = Path(FOLDER.parents[1], "scripts", "setup").is_file()
COMMAND = "scripts/setup" if _IN_CHECKOUT else f"{sys.executable} -m shards.native.build"
"""The command that compiles the kernels of this installation: a wheel has no `scripts`."""

FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Werror=implicit",
)
_AVX2 = ("-mavx2", "-mfma")
_AVX512_VNNI = (
    *(*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni"),
    "-mprefer-vector-width=512",
)
_AVX512 = (*_AVX512_VNNI, "-mavx512bf16")
_AMX = (*_AVX512, "-mamx-tile", "-mamx-int8", "-mamx-bf16")

NARROW = frozenset({"avx2_product.c"})
"""The files for CPUs without AVX-512."""

PLAIN = frozenset({"cpu.c", "threads.c"})
"""The files for every CPU."""

TIERS = {
    "amx": _AMX,
    "avx512_bf16": _AVX512,
    "avx512_vnni": _AVX512_VNNI,
    "avx2_vnni": (*_AVX2, "-mavxvnni"),
    "avx2": _AVX2,
}
"""The flags of each tier of instructions, see `shards.machine.instructions`."""

_WITHOUT_AVX512 = frozenset({"avx2_vnni", "avx2"})


class BuildError(Exception):
    """The kernels cannot be compiled here. The message has the reason and the remedy."""


def sources(folder: Path = FOLDER) -> list[Path]:
    """Return the C files and their headers."""
    return sorted([*folder.glob("*.c"), *folder.glob("*.h")])


def digest(folder: Path = FOLDER) -> str:
    """Return the digest of these sources and flags, which their library holds."""
    made_of = hashlib.sha256(repr((FLAGS, TIERS)).encode())
    for source in sources(folder):
        made_of.update(source.name.encode() + b"\0" + source.read_bytes())
    return made_of.hexdigest()


def is_current(library: Path = LIBRARY, folder: Path = FOLDER) -> bool:
    """Return whether there is a library that was compiled from these sources."""
    return library.is_file() and digest(folder).encode() in library.read_bytes()


def obstacle() -> tuple[str, str] | None:
    """Return the obstacle to compiling on this machine, and the remedy; `None` for none."""
    if platform.machine() not in MACHINES or sys.platform != "linux":
        return f"there are none for {sys.platform} on {platform.machine()}", ""
    if not compiler():
        return "no C compiler (cc) is here", f"apt-get install gcc libc6-dev, then {COMMAND}"
    return None


def compiler() -> list[str]:
    """Return the command of the C compiler; empty if there is none."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return [found] if found else []


def build(library: Path = LIBRARY, folder: Path = FOLDER, extra: Sequence[str] = ()) -> bool:
    """Compile the library unless it is up to date; return whether it was compiled.

    Args:
        extra: flags to compile and link with, beside the usual ones.

    Raises:
        BuildError: there is no compiler, or it found errors.
    """
    if is_current(library, folder):
        return False
    if why_not := obstacle():
        raise BuildError("; ".join(filter(None, why_not)))
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".build-") as scratch:
        made = compiled(Path(scratch), folder, extra)
        linked = Path(scratch, library.name)
        _run(["-shared", *extra, "-o", str(linked), *map(str, made), "-lm"])
        linked.replace(library)  # processes that have loaded the old one keep it
    return True


def flags_of(source: str) -> Mapping[str, Sequence[str]]:
    """Return the flags of each compilation of a C file, by the name of its tier; "" for none."""
    if source in PLAIN:
        return {"": ()}
    return {
        tier: (*flags, f"-DTIER={tier}")
        for tier, flags in TIERS.items()
        if (source in NARROW) == (tier in _WITHOUT_AVX512)
    }


def compiled(scratch: Path, folder: Path = FOLDER, extra: Sequence[str] = ()) -> list[Path]:
    """Compile each C file once a tier into `scratch`; return the object files."""
    sources_are = f'-DSOURCES="{digest(folder)}"'

    def compile_source(work: tuple[Path, str, Sequence[str]]) -> Path:
        source, tier, flags = work
        made = scratch / f"{source.stem}-{tier}.o"
        _run([*FLAGS, *flags, *extra, sources_are, "-c", str(source), "-o", str(made)])
        return made

    works = [
        (source, tier, flags)
        for source in sorted(folder.glob("*.c"))
        for tier, flags in flags_of(source.name).items()
    ]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(compile_source, works))


def _run(arguments: list[str]) -> None:
    command = [*compiler(), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"the C compiler {command[0]} cannot be run: {error}") from error
    sys.stderr.write(done.stderr)
    if done.returncode:
        lines = done.stderr.splitlines() or ["it gave no reason"]
        first = next((line for line in lines if " error: " in line), lines[0])
        raise BuildError(f"the C compiler {command[0]} failed: {first}")


def main() -> int:
    """Build and report the outcome; return 1 where nothing could be compiled."""
    try:
        made = build()
    except (BuildError, OSError) as error:
        sys.stderr.write(f"kernels of our own: {error}; PyTorch's operations do their work\n")
        return 1
    sys.stdout.write(f"kernels of our own: {'compiled' if made else 'up to date'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
