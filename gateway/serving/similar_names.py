"""Names of models that differ from a name in letter case or owner only. Pure.

`BAAI/bge-reranker-v2-m3`, `bge-reranker-v2-m3` and `baai/BGE-Reranker-v2-m3` are one checkpoint to
its users; a name that could mean two models means none.
"""

from collections.abc import Callable, Mapping

_LONGEST = 256  # characters; no model has a longer name


def similar_name(name: str, meanings: Mapping[str, str]) -> str | None:
    """Return the meaning of the names like this one, if they all have one meaning.

    Args:
        name: a name that nothing has.
        meanings: the names that are known, and what each means.
    """
    if len(name) > _LONGEST:
        return None
    likenesses: tuple[Callable[[str], str], ...] = (str.casefold, _without_owner)
    for likeness in likenesses:
        wanted = likeness(name)
        found = {meaning for known, meaning in meanings.items() if likeness(known) == wanted}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _without_owner(name: str) -> str:
    return name.rpartition("/")[2].casefold()
