"""Blocks of help that click prints as they are written, one line each."""


def examples(*lines: str) -> str:
    """Return the end of a command's help: example commands, unwrapped.

    A backspace alone on the first line of a paragraph is click's mark for text to leave as it is.
    """
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
