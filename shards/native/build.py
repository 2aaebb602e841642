"""Compilation of the kernels: `python -m shards.native.build`. Standard library only.

Run when the package is installed (`hatch_build.py`), by `scripts/setup` and before the tests; it
does nothing when the library is up to date. The library holds a digest of its sources, so one that
was compiled from other sources is never loaded. `CC` names another compiler.

`cpu.c` tests which of the other files may run. `threads.c` runs on every CPU, `int16_product.c` is
compiled for AVX2, and all others for AVX-512 with BF16 and VNNI. They are not linked with an OpenMP
of their own: its threads would compete with those of PyTorch's, which is in the process already and
is found there (`threads.c`).
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
AVX2 = ("-mavx2", "-mfma")
AVX512 = (
    *("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"),
    *("-mavx512bf16", "-mavx512vnni", "-mprefer-vector-width=512"),
)
INSTRUCTIONS = {"cpu.c": (), "threads.c": (), "int16_product.c": AVX2}
"""The flags of files for other CPUs than those with AVX-512."""


class BuildError(Exception):
    """The kernels cannot be compiled here. The message has the reason and the remedy."""


def sources(folder: Path = FOLDER) -> list[Path]:
    """Return the C files and their headers."""
    return sorted([*folder.glob("*.c"), *folder.glob("*.h")])


def digest(folder: Path = FOLDER) -> str:
    """Return the digest of these sources and flags, which their library holds."""
    made_of = hashlib.sha256(repr((FLAGS, INSTRUCTIONS, AVX512)).encode())
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


def compiled(scratch: Path, folder: Path = FOLDER, extra: Sequence[str] = ()) -> list[Path]:
    """Compile each C file into `scratch`; return the object files."""

    def compile_source(source: Path) -> Path:
        made = scratch / f"{source.stem}.o"
        flags = [*FLAGS, *INSTRUCTIONS.get(source.name, AVX512), *extra]
        _run([*flags, f'-DSOURCES="{digest(folder)}"', "-c", str(source), "-o", str(made)])
        return made

    with ThreadPoolExecutor() as pool:
        return list(pool.map(compile_source, sorted(folder.glob("*.c"))))


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
