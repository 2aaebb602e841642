"""Counts of the values of a body, and the memory that they take when they are decoded."""

from dataclasses import dataclass

_OBJECT_BYTES = 200  # of an object with up to five fields; of each further field:
_FIELD_BYTES = 25
_FREE_FIELDS = 5
_LIST_BYTES = 96
_STRING_BYTES = 56  # beside its characters
_NUMBER_BYTES = 32
_SLOT_BYTES = 9  # of a list or object, for each value


@dataclass(slots=True)
class Structure:
    """Counts of the values of a body.

    Attributes:
        objects, lists: their numbers; no list and no object is counted as empty.
        strings: the number of strings, keys included.
        keys: the number of keys.
        distinct_keys: at least the number of different keys; equal keys share memory.
        values: at least the number of values in lists and objects.
        fields: the number of top-level fields, where it was counted.
    """

    objects: int = 0
    lists: int = 0
    strings: int = 0
    keys: int = 0
    distinct_keys: int = 0
    values: int = 0
    fields: int = 0

    @property
    def containers(self) -> int:
        """The number of lists and objects."""
        return self.objects + self.lists

    @property
    def cost(self) -> int:
        """Bytes of memory of the decoded values, beside the characters of their strings."""
        strings = max(self.strings - self.keys, 0)
        numbers = max(self.values - strings - self.containers, 0)
        return (
            _OBJECT_BYTES * self.objects
            + _LIST_BYTES * self.lists
            + _FIELD_BYTES * max(self.keys - _FREE_FIELDS * self.objects, 0)
            + _STRING_BYTES * (strings + self.distinct_keys)
            + _NUMBER_BYTES * numbers
            + _SLOT_BYTES * self.values
        )
