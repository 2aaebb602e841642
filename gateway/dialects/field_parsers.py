"""Parsers of single fields of a body, shared by all dialects.

Each function takes the client's value and returns the internal one, or raises `InvalidRequest` with
the field, the finding, the limit and the remedy.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from msgspec import UnsetType

from gateway.dialects.base import Limits
from gateway.dialects.coercion import BOOLEANS
from gateway.dialects.request_body import Flag, Nullable, RerankBody
from gateway.domain.errors import InvalidRequest
from gateway.domain.named_instructions import UnknownInstruction, instruction_of
from gateway.domain.request import Policy

T = TypeVar("T")

DEFAULT_MODEL_NAMES = {"", "default/not-specified"}
"""Model names that infinity's clients send when the user chose no model."""

INSTRUCTION_NAMES = ("instruction", "instruct", "task")
"""Names of an instruction, in a body, in a pair and in a query that is an object."""

_LARGEST_COUNT = 2**31 - 1
_SHOWN = 40
_PART = 64 * 1024  # characters


class Truncation(NamedTuple):
    """Treatment of a document that is too long, as far as the request chooses it.

    Attributes:
        keep_end: true to cut the start instead of the end.
        policy: the treatment; `None` for the model's.
        may_cut: true if a cut is allowed where the model's policy is to refuse.
    """

    keep_end: bool = False
    policy: Policy | None = None
    may_cut: bool = False


_NEVER = Truncation(policy="error")
_ALLOWED = Truncation(may_cut=True)
_AT_END = Truncation(policy="truncate")
_AT_START = Truncation(keep_end=True, policy="truncate")

_TRUNCATIONS: dict[str, dict[str, Truncation]] = {
    "truncation": {"true": _ALLOWED, "false": _NEVER},
    "truncate": {
        "true": _ALLOWED,
        "false": _NEVER,
        "end": _AT_END,
        "start": _AT_START,
        "none": _NEVER,
    },
    "truncation_direction": {"right": Truncation(), "left": Truncation(keep_end=True)},
    "truncation_side": {"right": Truncation(), "left": Truncation(keep_end=True)},
}
"""Meaning of each value of a field, in any letter case; booleans by their names in JSON."""

_POLICIES: dict[str, Policy] = {
    "truncate": "truncate",
    "passages": "passages",
    "error": "error",
}


def value_or_none(value: Nullable[T]) -> T | None:
    """Return the value, or `None` when it is missing or `null`."""
    return None if isinstance(value, UnsetType) else value


def parse_model(body: RerankBody) -> str | None:
    """Return the model's name; `None` for the default model."""
    name = value_or_none(body.model)
    return None if name in DEFAULT_MODEL_NAMES else name


def parse_instruction(
    body: RerankBody, limits: Limits, names: Sequence[str] = INSTRUCTION_NAMES
) -> str | None:
    """Return the instruction under any of these names; `None` if it is missing or blank."""
    for name in names:
        text = value_or_none(getattr(body, name))
        if text and not text.isspace():
            return _instruction(text, name, limits)
    for outer in ("chat_template_kwargs", "mm_processor_kwargs"):
        fields = value_or_none(getattr(body, outer))
        text = fields.get("instruction") if fields else None
        name = f"{outer}.instruction"
        if text is not None and not isinstance(text, str):
            raise InvalidRequest(f"{name}: expected a string", param=name)
        if text and not text.isspace():
            return _instruction(text, name, limits)
    return None


def parse_own_instruction(fields: Mapping[str, object], name: str, limits: Limits) -> str:
    """Return the instruction of one pair or query, under any of its names; empty if it has none.

    Args:
        fields: the fields of the pair, or of the object that is the query.
        name: its name in errors.
        limits: limits of the request.
    """
    for field in INSTRUCTION_NAMES:
        text = fields.get(field)
        if text is None or isinstance(text, UnsetType):
            continue
        if not isinstance(text, str):
            raise InvalidRequest(f"{name}.{field}: expected a string", param=f"{name}.{field}")
        if text and not text.isspace():
            return _instruction(text, f"{name}.{field}", limits)
    return ""


def _instruction(text: str, name: str, limits: Limits) -> str:
    """Return an instruction, or the one that it names."""
    try:
        return instruction_of(within_size(text, name, limits.query_bytes), limits.instructions)
    except UnknownInstruction as error:
        raise InvalidRequest(f"{name}: {error}", param=name) from None


def parse_top_n(body: RerankBody) -> int | None:
    """Return `top_n`, or else `top_k`; `None` for all: missing, `null` or 0."""
    top_n = parse_count(value_or_none(body.top_n), "top_n")
    top_k = parse_count(value_or_none(body.top_k), "top_k")
    return top_n or top_k or None


def parse_max_tokens_per_doc(body: RerankBody) -> int | None:
    """Return the maximum number of tokens of one document; `None` for the model's limit."""
    return parse_count(value_or_none(body.max_tokens_per_doc), "max_tokens_per_doc") or None


def parse_max_tokens_per_query(body: RerankBody) -> int | None:
    """Return the maximum number of tokens of a query; `None` for all."""
    return parse_count(value_or_none(body.max_tokens_per_query), "max_tokens_per_query") or None


def parse_max_tokens_per_pair(body: RerankBody) -> int | None:
    """Return the maximum number of tokens of a pair; `None` for the model's limit, vLLM's -1."""
    value = value_or_none(body.truncate_prompt_tokens)
    return None if value == -1 else parse_count(value, "truncate_prompt_tokens") or None


def parse_count(value: int | None, name: str) -> int | None:
    """Reject a negative number, and clamp a large one to 31 bits, beyond any list here."""
    if value is not None and value < 0:
        raise InvalidRequest(f"{name} is negative: send 0 or more", param=name)
    return None if value is None else min(value, _LARGEST_COUNT)


def parse_flag(value: Flag, name: str, *, default: bool = False) -> bool:
    """Return a boolean; some clients send it as a string, and some send null for the default."""
    return default if value_or_none(value) is None else bool(_flag(value, name))


def parse_raw_scores(body: RerankBody) -> bool:
    """Return whether the reply shows margins: `raw_scores`, or no activation in vLLM's terms."""
    without = [
        _flag(getattr(body, name), name) is False
        for name in ("use_activation", "activation", "softmax")
    ]
    return parse_flag(body.raw_scores, "raw_scores") or any(without)


def parse_max_passages(body: RerankBody) -> int | None:
    """Return the maximum number of passages of one document; `None` for the model's."""
    return parse_count(value_or_none(body.max_chunks_per_doc), "max_chunks_per_doc") or None


def parse_truncation(body: RerankBody) -> Truncation:
    """Return the treatment of documents that are too long.

    `long_documents` overrides all other fields. Among these `error` overrides `passages`, and
    `passages` overrides `truncate`.
    """
    meanings = [_meaning(body, name) for name in _TRUNCATIONS]
    policies = {meaning.policy for meaning in meanings}
    own = _own_policy(body)
    if own is None and parse_max_passages(body):
        policies.add("passages")
    if value_or_none(body.truncate_prompt_tokens) is not None:
        policies.add("truncate")
    by_precedence: tuple[Policy, ...] = ("error", "passages", "truncate")
    return Truncation(
        keep_end=any(meaning.keep_end for meaning in meanings),
        policy=own or next((policy for policy in by_precedence if policy in policies), None),
        may_cut=any(meaning.may_cut for meaning in meanings),
    )


def _meaning(body: RerankBody, name: str) -> Truncation:
    value = value_or_none(getattr(body, name))
    if value is None:
        return Truncation()
    meanings = _TRUNCATIONS[name]
    word = str(value)[:_SHOWN].lower()
    if word not in meanings and word in BOOLEANS:
        word = str(BOOLEANS[word]).lower()
    return _one_of(meanings, word, name)


def _own_policy(body: RerankBody) -> Policy | None:
    value = value_or_none(body.long_documents)
    return None if value is None else _one_of(_POLICIES, value, "long_documents")


def _one_of(meanings: Mapping[str, T], value: str, name: str) -> T:
    """Return the meaning of a word, in any letter case."""
    meaning = meanings.get(value[: _SHOWN + 1].lower())
    if meaning is None:
        wanted = ", ".join(meanings)
        raise InvalidRequest(f"{name} is {value[:_SHOWN]!r}: use one of {wanted}", param=name)
    return meaning


def check_size(text: str, name: str, limit_bytes: int) -> None:
    """Reject a string that takes more bytes of UTF-8 than the limit."""
    if len(text) * 4 <= limit_bytes:  # a character takes at most four bytes
        return
    size = utf8_bytes(text)
    if size > limit_bytes:
        raise InvalidRequest(
            f"{name} has {size} bytes, the limit is {limit_bytes}: shorten it", param=name
        )


def utf8_bytes(text: str) -> int:
    """Return the size of a text in UTF-8; to encode a long one at once takes four times as much."""
    parts = range(0, len(text), _PART)
    return sum([len(text[start : start + _PART].encode()) for start in parts])


def within_size(text: str, name: str, limit_bytes: int) -> str:
    """Return the string if its size is within the limit."""
    check_size(text, name, limit_bytes)
    return text


def _flag(value: Flag, name: str) -> bool | None:
    flag = None if isinstance(value, UnsetType) else value
    if not isinstance(flag, str):
        return flag
    if (word := flag[:_SHOWN].lower()) not in BOOLEANS:
        raise InvalidRequest(f"{name}: expected true or false, got a string", param=name)
    return BOOLEANS[word]
