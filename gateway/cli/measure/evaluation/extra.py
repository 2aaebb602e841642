"""The libraries of the extra `eval`."""

from importlib.util import find_spec

NEEDED = ("ir_measures", "bm25s", "snowballstemmer")


class CannotEvaluate(Exception):
    """A library is missing; the message has the command that installs it."""


def check_extra() -> None:
    """Look for the libraries before the work that needs them.

    Raises:
        CannotEvaluate: one of them is not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CannotEvaluate(
            f"{', '.join(missing)} is needed: pip install 'rerank-gateway[eval]', or in a checkout "
            ".venv/bin/pip install -c scripts/constraints.txt ir-measures bm25s snowballstemmer"
        )
