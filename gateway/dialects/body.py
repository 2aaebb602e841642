"""What clients send: one struct with every field that some rerank API knows.

So a body is decoded and its types checked once, before it is clear which API it speaks; `keys`
then tells the dialects apart. Fields that nobody here knows are skipped. `null` is the same as a
missing field, but for `keys`. Of a field sent twice, the last one counts.

The descriptions are those of the OpenAPI document: there each dialect shows the fields it reads.
"""

from itertools import compress, repeat
from operator import is_not
from typing import Annotated, TypeAlias, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple

T = TypeVar("T")

Sent: TypeAlias = T | UnsetType | None
"""A field that may be missing or `null`."""

Text: TypeAlias = str | dict[str, object]
"""A text, or an object that holds one."""

Flag: TypeAlias = Sent[bool | str]
"""A boolean; some clients write it as a string."""


class Pair(Struct):
    """One (query, passage) pair."""

    query: str
    passage: str


def _is(description: str) -> Meta:
    return Meta(description=description)


class RerankBody(Struct, kw_only=True):
    """The fields of every rerank API; `docs/api.md` says which API has which."""

    model: Annotated[
        Sent[str],
        _is("A name or an alias; missing, empty and default/not-specified mean the default model."),
    ] = UNSET
    query: Annotated[
        Sent[Text], _is('A string, or an object: {"text": ...} or vLLM\'s content of text parts.')
    ] = UNSET
    documents: Annotated[
        Sent[list[Text] | str],
        _is("Strings, and objects with text or with the fields that rank_fields names."),
    ] = UNSET
    texts: Annotated[Sent[list[str]], _is("The documents, as TEI calls them.")] = UNSET
    input: Annotated[Sent[list[Text] | str], _is("The documents, as Mixedbread calls them.")] = (
        UNSET
    )
    passages: Annotated[Sent[list[Text]], _is("The documents, as NVIDIA calls them.")] = UNSET
    pairs: Annotated[Sent[list[Pair]], _is("Each query with its passage.")] = UNSET
    text_1: Annotated[Sent[list[Text] | str], _is("One query, or one per document.")] = UNSET
    text_2: Annotated[Sent[list[Text] | str], _is("The documents.")] = UNSET
    data_1: Annotated[Sent[list[Text] | str], _is("The same as text_1.")] = UNSET
    data_2: Annotated[Sent[list[Text] | str], _is("The same as text_2.")] = UNSET
    queries: Annotated[Sent[list[Text] | str], _is("The same as text_1.")] = UNSET
    items: Annotated[Sent[list[Text] | str], _is("The same as text_2.")] = UNSET
    rank_fields: Annotated[
        Sent[list[str]],
        _is("The fields of object documents that are read, one a line, in this order."),
    ] = UNSET
    top_n: Annotated[
        Sent[int], _is("How many results; missing, 0 and more than there are mean all.")
    ] = UNSET
    top_k: Annotated[Sent[int], _is("The same as top_n, which counts if both are there.")] = UNSET
    return_documents: Annotated[Flag, _is("Whether results carry their document.")] = UNSET
    return_text: Annotated[Flag, _is("Whether results carry their text.")] = UNSET
    return_input: Annotated[Flag, _is("Whether results carry their input.")] = UNSET
    instruction: Annotated[
        Sent[str], _is("What relevance means here, for models that use it; blank: the default.")
    ] = UNSET
    instruct: Annotated[Sent[str], _is("The same as instruction.")] = UNSET
    task: Annotated[Sent[str], _is("The same as instruction.")] = UNSET
    chat_template_kwargs: Annotated[
        Sent[dict[str, object]], _is("vLLM's way to send an instruction, under that key.")
    ] = UNSET
    mm_processor_kwargs: Annotated[
        Sent[dict[str, object]], _is("The same as chat_template_kwargs.")
    ] = UNSET
    raw_scores: Annotated[Flag, _is("The margin before the sigmoid instead of the score.")] = UNSET
    use_activation: Annotated[Flag, _is("False is the same as raw_scores.")] = UNSET
    activation: Annotated[Flag, _is("False is the same as raw_scores.")] = UNSET
    softmax: Annotated[Flag, _is("False is the same as raw_scores.")] = UNSET
    max_tokens_per_doc: Annotated[
        Sent[int], _is("The most tokens of each document that are read; 0: the model's limit.")
    ] = UNSET
    truncation: Annotated[
        Flag, _is("False: a document that is too long is refused instead of cut.")
    ] = UNSET
    truncate: Annotated[
        Flag, _is("True or END: cut the end; START: cut the start; false or NONE: refuse.")
    ] = UNSET
    truncation_direction: Annotated[
        Sent[str], _is("right: the end of a document is cut; left: its start is.")
    ] = UNSET
    truncation_side: Annotated[Sent[str], _is("The same as truncation_direction.")] = UNSET

    long_documents: Annotated[
        Sent[str],
        _is(
            "What happens to a document that is too long: truncate, passages (read in overlapping "
            "passages, the best one counts) or error; missing: what the model is configured for."
        ),
    ] = UNSET
    max_chunks_per_doc: Annotated[
        Sent[int], _is("Read long documents in passages, at most so many of each.")
    ] = UNSET
    return_details: Annotated[
        Flag,
        _is("Whether results say margin, tokens, truncated, passages and the best one's span."),
    ] = UNSET

    @property
    def keys(self) -> frozenset[str]:
        """The names of the fields that were sent, with `null` or not."""
        return frozenset(compress(_NAMES, map(is_not, astuple(self), repeat(UNSET))))


_NAMES = RerankBody.__struct_fields__

SHARED_FIELDS = (
    "model",
    "instruction",
    "instruct",
    "task",
    "chat_template_kwargs",
    "mm_processor_kwargs",
    "raw_scores",
    "use_activation",
    "activation",
    "softmax",
    "max_tokens_per_doc",
    "truncation",
    "truncate",
    "truncation_direction",
    "truncation_side",
    "long_documents",
    "max_chunks_per_doc",
    "return_details",
)
"""What every dialect reads."""

WITHOUT_EFFECT = (
    "max_tokens_per_query",
    "priority",
    "relevant_spans",
    "return_len",
    "rewrite_query",
    "truncate_prompt_tokens",
    "user",
)
"""What clients send and what changes nothing here: skipped as any unknown field, but documented."""
