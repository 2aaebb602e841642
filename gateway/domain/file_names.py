"""Names of files in texts for clients: left out, since they are for the operator only. Pure."""

import re

_FILE = re.compile(r"(?<![\w/.])(?:~|\.{1,2})?/(?:[^/:;,'\"()\n]+/)+[^:;,'\"()\n]*")
"""A path of at least two names, up to the next mark: a name may have spaces.

Paths of the gateway that errors of its own name have one.
"""


def without_files(text: str) -> str:
    """Return a text without the paths of files in it."""
    return _FILE.sub("(a file)", text)
