"""`python -m gateway`. Imports nothing at its head: every shard that is spawned reads this file."""


def main() -> None:
    """Run the command line."""
    _open_standard_streams()
    import sys
    from pathlib import Path

    from gateway.cli import cli

    name = Path(sys.argv[0]).name
    cli(prog_name=name if name == "rerank-gateway" else "gateway")


def _open_standard_streams() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next file or socket gets its number, and log lines are written into that.
    """
    import os
    import sys

    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(number, True)
            # a number has no Path, and the stream stays open until the end
            stream = open(number, "w" if number else "r", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


if __name__ == "__main__":
    main()
