"""From single fields of a body to values: the rules that all dialects share.

Each function takes what the client sent and returns the value inside, or raises `InvalidRequest`
naming the field, what was found, the limit and the way out.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from msgspec import UnsetType

from gateway.dialects.base import Limits
from gateway.dialects.body import Flag, RerankBody, Sent
from gateway.domain import Policy
from gateway.errors import InvalidRequest

T = TypeVar("T")

DEFAULT_MODEL_NAMES = {"", "default/not-specified"}
"""What infinity's clients send when no model was chosen."""

_FLAGS = {"true": True, "false": False}
_LARGEST_COUNT = 2**31 - 1


class Cut(NamedTuple):
    """What happens to a document that is too long, as far as the request says.

    Attributes:
        keep_end: its start is lost instead of its end.
        policy: what happens to it.
        may_cut: it may be cut, however the model does it.
    """

    keep_end: bool = False
    policy: Policy | None = None
    may_cut: bool = False


_NEVER = Cut(policy="error")
_ALLOWED = Cut(may_cut=True)
_AT_END = Cut(policy="truncate")
_AT_START = Cut(keep_end=True, policy="truncate")

_TRUNCATIONS: dict[str, dict[str, Cut]] = {
    "truncation": {"true": _ALLOWED, "false": _NEVER},
    "truncate": {
        "true": _ALLOWED,
        "false": _NEVER,
        "end": _AT_END,
        "start": _AT_START,
        "none": _NEVER,
    },
    "truncation_direction": {"right": Cut(), "left": Cut(keep_end=True)},
    "truncation_side": {"right": Cut(), "left": Cut(keep_end=True)},
}
"""What the values of a field mean, in any case; booleans by their names in JSON."""

_POLICIES: dict[str, Policy] = {
    "truncate": "truncate",
    "passages": "passages",
    "error": "error",
}


def sent(value: Sent[T]) -> T | None:
    """Return the value, or `None` when it is missing or `null`."""
    return None if isinstance(value, UnsetType) else value


def read_model(body: RerankBody) -> str | None:
    """Read the model's name; `None` for the default model."""
    name = sent(body.model)
    return None if name in DEFAULT_MODEL_NAMES else name


def read_instruction(body: RerankBody, limits: Limits) -> str | None:
    """Read the instruction under any of its names; `None` when there is none or it is blank."""
    for name in ("instruction", "instruct", "task"):
        text = sent(getattr(body, name))
        if text is not None and text.strip():
            return checked(text, name, limits.query_bytes)
    for outer in ("chat_template_kwargs", "mm_processor_kwargs"):
        fields = sent(getattr(body, outer))
        text = fields.get("instruction") if fields else None
        name = f"{outer}.instruction"
        if text is not None and not isinstance(text, str):
            raise InvalidRequest(f"{name}: expected a string", param=name)
        if text and text.strip():
            return checked(text, name, limits.query_bytes)
    return None


def read_top_n(body: RerankBody) -> int | None:
    """Read `top_n`, or else `top_k`; missing, `null` and 0 mean all."""
    top_n = read_count(sent(body.top_n), "top_n")
    top_k = read_count(sent(body.top_k), "top_k")
    return top_n or top_k or None


def read_max_tokens_per_doc(body: RerankBody) -> int | None:
    """Read the most tokens of one document that are scored; `None` and 0 for the model's limit."""
    return read_count(sent(body.max_tokens_per_doc), "max_tokens_per_doc") or None


def read_count(value: int | None, name: str) -> int | None:
    """Read a number that must not be negative; more than any list can hold is as good as that."""
    if value is not None and value < 0:
        raise InvalidRequest(f"{name} is negative: send 0 or more", param=name)
    return None if value is None else min(value, _LARGEST_COUNT)


def read_flag(value: Flag, name: str) -> bool:
    """Read a boolean that defaults to false; some clients send it as a string."""
    return bool(_flag(value, name))


def read_raw_scores(body: RerankBody) -> bool:
    """Read whether margins are wanted: `raw_scores`, or no activation as vLLM names it."""
    without = [
        _flag(getattr(body, name), name) is False
        for name in ("use_activation", "activation", "softmax")
    ]
    return read_flag(body.raw_scores, "raw_scores") or any(without)


def read_most_passages(body: RerankBody) -> int | None:
    """Read the most passages of one document; `None` and 0 for as many as the model is set to."""
    return read_count(sent(body.max_chunks_per_doc), "max_chunks_per_doc") or None


def read_cut(body: RerankBody) -> Cut:
    """Read what happens to documents that are too long.

    Our own field counts before all others; a refusal before passages, and these before cutting.
    """
    meanings = [_meaning(body, name) for name in _TRUNCATIONS]
    asked = {one.policy for one in meanings}
    own = _own_policy(body)
    if own is None and read_most_passages(body):
        asked.add("passages")
    policies: tuple[Policy, ...] = ("error", "passages", "truncate")
    return Cut(
        keep_end=any(one.keep_end for one in meanings),
        policy=own or next((policy for policy in policies if policy in asked), None),
        may_cut=any(one.may_cut for one in meanings),
    )


def _meaning(body: RerankBody, name: str) -> Cut:
    value = sent(getattr(body, name))
    if value is None:
        return Cut()
    return _one_of(_TRUNCATIONS[name], str(value), name)


def _own_policy(body: RerankBody) -> Policy | None:
    value = sent(body.long_documents)
    return None if value is None else _one_of(_POLICIES, value, "long_documents")


def _one_of(meanings: Mapping[str, T], value: str, name: str) -> T:
    """Return what a word means, in any case."""
    meaning = meanings.get(value.lower())
    if meaning is None:
        wanted = ", ".join(meanings)
        raise InvalidRequest(f"{name} is {value[:40]!r}: use one of {wanted}", param=name)
    return meaning


def check_size(text: str, name: str, limit_bytes: int) -> None:
    """Refuse a string that takes more bytes as UTF-8 than the limit."""
    if len(text) * 4 <= limit_bytes:  # no character takes more than four
        return
    size = len(text.encode())
    if size > limit_bytes:
        raise InvalidRequest(
            f"{name} has {size} bytes, the limit is {limit_bytes}: shorten it", param=name
        )


def checked(text: str, name: str, limit_bytes: int) -> str:
    """Return a string that is not too long."""
    check_size(text, name, limit_bytes)
    return text


def _flag(value: Flag, name: str) -> bool | None:
    flag = None if isinstance(value, UnsetType) else value
    if not isinstance(flag, str):
        return flag
    if flag.lower() not in _FLAGS:
        raise InvalidRequest(f"{name}: expected true or false, got a string", param=name)
    return _FLAGS[flag.lower()]
