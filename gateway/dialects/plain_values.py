"""The check that the object of a document consists of values that a reply can contain as JSON.

A body may have very many values. Level by level the types of all values in a list or object are
compared at once; only an object with a fault is walked value by value, for the name of the fault.
"""

import math
from collections.abc import Collection, Mapping

from gateway.domain.errors import InvalidRequest

_DEEPEST = 32
_LARGEST_INTEGER = 2**63 - 1

_NUMBERS, _CONTAINERS = {int, float}, {dict, list}
_PLAIN = {str, bool, type(None), *_NUMBERS, *_CONTAINERS}


def check_plain(fields: Mapping[str, object], name: str) -> None:
    """Reject an object with a value that the reply could not contain as JSON."""
    if not _is_plain(fields):
        _check(fields, name, _DEEPEST)


def _is_plain(fields: Mapping[str, object]) -> bool:
    level: list[object] = [fields]
    for _ in range(_DEEPEST):
        inner: list[object] = []
        for container in level:
            values: Collection[object]
            if isinstance(container, dict):
                if set(map(type, container)) - {str}:
                    return False
                values = container.values()
            else:
                assert isinstance(container, list)
                values = container
            kinds = set(map(type, values))
            if kinds - _PLAIN or (kinds & _NUMBERS and not _are_plain_numbers(values)):
                return False
            if kinds & _CONTAINERS:
                inner += [value for value in values if type(value) in _CONTAINERS]
        if not inner:
            return True
        level = inner
    return False


def _are_plain_numbers(values: Collection[object]) -> bool:
    """Return whether all numbers among the values are finite, and all integers have 64 bits."""
    integers = [value for value in values if type(value) is int]
    if integers and not -_LARGEST_INTEGER <= min(integers) <= max(integers) <= _LARGEST_INTEGER:
        return False
    return all(map(math.isfinite, [value for value in values if type(value) is float]))


def _check(value: object, name: str, levels: int) -> None:
    """Reject values in an object that the reply could not contain as JSON."""
    problem = _problem(value, levels)
    if problem:
        raise InvalidRequest(f"{name} {problem}", param=name)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidRequest(f"{name} has a key that is not a string", param=name)
            _check(inner, f"{name}.{key[:40]}", levels - 1)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            _check(inner, f"{name}[{i}]", levels - 1)


def _problem(value: object, levels: int) -> str:
    if isinstance(value, Mapping | list):
        return "" if levels else f"is nested deeper than {_DEEPEST} levels"
    if isinstance(value, int):  # and bool
        return "" if abs(value) <= _LARGEST_INTEGER else "is an integer of more than 64 bits"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not a finite number"
    return "" if value is None or isinstance(value, str) else "is not a value that JSON has"
