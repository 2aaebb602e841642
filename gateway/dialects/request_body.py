"""The request body: one struct with every field of every rerank API.

A body is decoded and type-checked once, before its API is determined; `fields_set` then selects the
dialect. Unknown fields are skipped here. `null` equals a missing field, except in `fields_set`.
Of a field sent twice, the last one counts.

The descriptions appear in the OpenAPI document, where each dialect lists the fields it reads.
"""

from functools import cached_property
from itertools import compress, repeat
from operator import is_not
from typing import Annotated, TypeAlias, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple

T = TypeVar("T")

Nullable: TypeAlias = T | UnsetType | None
"""A field that may be missing or `null`."""

Text: TypeAlias = str | dict[str, object]
"""A text, or an object that contains one."""

Flag: TypeAlias = Nullable[bool | str]
"""A boolean; some clients write it as a string."""


def _is(description: str) -> Meta:
    return Meta(description=description)


class Pair(Struct):
    """One (query, passage) pair, and an instruction of its own if it has one."""

    query: str
    passage: Annotated[str | UnsetType, _is("The text that is scored for the query.")] = UNSET
    document: Annotated[str | UnsetType, _is("The same as passage.")] = UNSET
    instruction: Annotated[
        Nullable[str],
        _is("Definition of relevance for this pair; blank: that of the request."),
    ] = UNSET
    instruct: Annotated[Nullable[str], _is("The same as instruction.")] = UNSET
    task: Annotated[Nullable[str], _is("The same as instruction.")] = UNSET


class RerankBody(Struct, kw_only=True, dict=True):
    """The fields of every rerank API; `docs/api.md` lists the fields of each API."""

    model: Annotated[
        Nullable[str],
        _is("A name or an alias; missing, empty and default/not-specified mean the default model."),
    ] = UNSET
    query: Annotated[
        Nullable[Text],
        _is('A string, or an object: {"text": ...} or vLLM\'s content of text parts.'),
    ] = UNSET
    documents: Annotated[
        Nullable[list[Text] | str],
        _is("Strings, and objects with text or with the fields that rank_fields names."),
    ] = UNSET
    texts: Annotated[Nullable[list[str]], _is("The documents, as TEI calls them.")] = UNSET
    input: Annotated[
        Nullable[list[Text] | str], _is("The documents, as Mixedbread calls them.")
    ] = UNSET
    passages: Annotated[Nullable[list[Text]], _is("The documents, as NVIDIA calls them.")] = UNSET
    docs: Annotated[Nullable[list[str] | str], _is("The documents, as MOSEC calls them.")] = UNSET
    records: Annotated[
        Nullable[list[dict[str, object]]],
        _is("The documents, as Google calls them: objects with title, content or both."),
    ] = UNSET
    property: Annotated[
        Nullable[str], _is("The only document, as Weaviate calls it, in place of documents.")
    ] = UNSET
    inputs: Annotated[
        Nullable[list[list[str] | dict[str, str] | str] | dict[str, str] | str],
        _is("A pair [query, document] or {text, text_pair}, or a list of such pairs."),
    ] = UNSET
    pairs: Annotated[Nullable[list[Pair]], _is("Each query with its passage.")] = UNSET
    text_1: Annotated[Nullable[list[Text] | str], _is("One query, or one per document.")] = UNSET
    text_2: Annotated[Nullable[list[Text] | str], _is("The documents.")] = UNSET
    data_1: Annotated[Nullable[list[Text] | str], _is("The same as text_1.")] = UNSET
    data_2: Annotated[Nullable[list[Text] | str], _is("The same as text_2.")] = UNSET
    queries: Annotated[Nullable[list[Text] | str], _is("The same as text_1.")] = UNSET
    items: Annotated[Nullable[list[Text] | str], _is("The same as text_2.")] = UNSET
    rank_fields: Annotated[
        Nullable[list[str]],
        _is("Fields of object documents that are read, one per line, in this order."),
    ] = UNSET
    top_n: Annotated[
        Nullable[int], _is("Number of results; missing, 0 and more than there are mean all.")
    ] = UNSET
    top_k: Annotated[Nullable[int], _is("The same as top_n, which counts if both are sent.")] = (
        UNSET
    )
    topN: Annotated[Nullable[int], _is("The same as top_n, as Google calls it.")] = UNSET
    ignoreRecordDetailsInResponse: Annotated[
        Flag, _is("Whether results have id and score only; default false.")
    ] = UNSET
    return_documents: Annotated[Flag, _is("Whether results carry their document.")] = UNSET
    return_text: Annotated[Flag, _is("Whether results carry their text.")] = UNSET
    return_input: Annotated[Flag, _is("Whether results carry their input.")] = UNSET
    instruction: Annotated[
        Nullable[str], _is("Definition of relevance, for models that use one; blank: the default.")
    ] = UNSET
    instruct: Annotated[Nullable[str], _is("The same as instruction.")] = UNSET
    task: Annotated[Nullable[str], _is("The same as instruction.")] = UNSET
    chat_template_kwargs: Annotated[
        Nullable[dict[str, object]], _is("vLLM's way to send an instruction, under that key.")
    ] = UNSET
    mm_processor_kwargs: Annotated[
        Nullable[dict[str, object]], _is("The same as chat_template_kwargs.")
    ] = UNSET
    raw_scores: Annotated[Flag, _is("The margin before the sigmoid instead of the score.")] = UNSET
    use_activation: Annotated[Flag, _is("False is the same as raw_scores.")] = UNSET
    activation: Annotated[Flag, _is("False is the same as raw_scores.")] = UNSET
    softmax: Annotated[Flag, _is("False is the same as raw_scores.")] = UNSET
    max_tokens_per_doc: Annotated[
        Nullable[int], _is("Maximum number of tokens read of each document; 0: the model's limit.")
    ] = UNSET
    max_tokens_per_query: Annotated[
        Nullable[int], _is("Maximum number of tokens read of each query; 0: all.")
    ] = UNSET
    truncate_prompt_tokens: Annotated[
        Nullable[int],
        _is(
            "Maximum number of tokens of query, prompt and document together, to which documents "
            "are cut; 0 and -1: the model's limit."
        ),
    ] = UNSET
    truncation: Annotated[
        Flag, _is("False: a document that is too long is refused instead of cut.")
    ] = UNSET
    truncate: Annotated[
        Flag, _is("True or END: cut the end; START: cut the start; false or NONE: refuse.")
    ] = UNSET
    truncation_direction: Annotated[
        Nullable[str], _is("right: the end of a document is cut; left: its start is.")
    ] = UNSET
    truncation_side: Annotated[Nullable[str], _is("The same as truncation_direction.")] = UNSET

    long_documents: Annotated[
        Nullable[str],
        _is(
            "Treatment of a document that is too long: truncate, passages (read in overlapping "
            "passages, the best one counts) or error; missing: the configuration of the model."
        ),
    ] = UNSET
    max_chunks_per_doc: Annotated[
        Nullable[int],
        _is("Maximum number of passages of a long document, which is then read in passages."),
    ] = UNSET
    input_type: Annotated[
        Nullable[str],
        _is("The prompt before texts that are encoded: query or document; missing: the default."),
    ] = UNSET
    prompt_name: Annotated[Nullable[str], _is("The same as input_type, as TEI calls it.")] = UNSET
    encoding_format: Annotated[
        Nullable[str], _is("The form of vectors: float, or base64 for the bytes of their fp32.")
    ] = UNSET
    dimensions: Annotated[
        Nullable[int],
        _is("The numbers of a vector: those of the model, or fewer if its checkpoint allows it."),
    ] = UNSET
    normalize: Annotated[Flag, _is("Whether vectors have length 1; default true.")] = UNSET
    return_details: Annotated[
        Flag,
        _is("Whether results have margin, tokens, truncated, passages and the best one's span."),
    ] = UNSET

    @cached_property  # of a struct with a `__dict__`; it is read twice for each request
    def fields_set(self) -> frozenset[str]:
        """Names of the fields that the client sent, `null` included."""
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
    "max_tokens_per_query",
    "truncate_prompt_tokens",
    "truncation",
    "truncate",
    "truncation_direction",
    "truncation_side",
    "long_documents",
    "max_chunks_per_doc",
    "return_details",
)
"""Fields that every dialect reads."""

DOCUMENT_FIELDS = ("documents", "texts", "input", "passages", "docs", "records", "inputs")
"""Names of the documents in different APIs."""

INTEGER_FIELDS = (
    "top_n",
    "top_k",
    "topN",
    "max_tokens_per_doc",
    "max_tokens_per_query",
    "max_chunks_per_doc",
    "truncate_prompt_tokens",
    "dimensions",
)
BOOLEAN_FIELDS = (
    "ignoreRecordDetailsInResponse",
    "return_documents",
    "return_text",
    "return_input",
    "return_details",
    "raw_scores",
    "use_activation",
    "activation",
    "softmax",
    "normalize",
    "truncation",
    "truncate",
)

IGNORED_FIELDS = (
    "priority",
    "relevant_spans",
    "return_len",
    "rewrite_query",
    "user",
)
"""Fields that clients send and that have no effect: a warning names them, as unknown ones."""
