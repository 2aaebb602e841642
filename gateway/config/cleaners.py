"""The type of `clean_text`: names of cleaners, in one text or a list."""

from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from gateway.domain.text_cleaning import CLEANERS, Cleaner


def _cleaners(value: object) -> object:
    """Accept names in one text, with commas between them, and put them in their order."""
    names = value
    if isinstance(value, str):
        names = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(names, list | tuple) or not set(map(str, names)) <= set(CLEANERS):
        return names  # whose type refuses it
    return tuple(name for name in CLEANERS if name in names)


_CLEANER_NAMES = "|".join(CLEANERS)

Cleaners = Annotated[
    tuple[Cleaner, ...],
    BeforeValidator(_cleaners),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": rf"^({_CLEANER_NAMES}|)( *, *({_CLEANER_NAMES}))*$"},
                {"type": "array", "items": {"type": "string", "enum": list(CLEANERS)}},
            ]
        }
    ),
]
