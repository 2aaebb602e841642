"""The prompt equals the official one, token for token; only the end of the document is cut."""

import json
import string
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, processors

from shards.pairs import QueryTooLong
from shards.prompts import KNOWN, TEMPLATES
from shards.refusal import Refusal
from shards.tokenize import CausalTokenizer, answer_ids, load_tokenizer
from shards.tokenize.causal import _splits_before_documents
from shards.wire.messages import Score
from shards.worker.documents import tokenized_slices
from tests import checkpoints
from tests.shards.engines import reference
from tests.shards.tokenize.tokenizers_made import DOCUMENTS, QWEN3, TEXT, causal, encode, load_from

_NO_PIECES = {"pre_tokenizer": None}


def test_prompt_equals_the_official_one(chat: Path) -> None:
    ours = [pair.token_ids for pair in encode(causal(chat), "Где столица? 北京", DOCUMENTS)]
    theirs = reference.prompt_ids(reference.tokenizer_of(chat), "Где столица? 北京", DOCUMENTS)
    assert ours == theirs


def test_prompt_equals_the_official_one_for_any_text(chat: Path) -> None:
    ours_of, tokenizer = causal(chat), reference.tokenizer_of(chat)

    @given(query=TEXT, document=TEXT, instruction=TEXT.filter(bool))
    def equal(query: str, document: str, instruction: str) -> None:
        (ours,) = encode(ours_of, query, [document], instruction)
        assert [ours.token_ids] == reference.prompt_ids(tokenizer, query, [document], instruction)

    equal()


def test_a_query_is_encoded_once_where_that_gives_the_same_tokens(chat: Path) -> None:
    tokenizer = causal(chat)
    assert tokenizer._is_apart
    once = encode(tokenizer, "Где столица? 北京", DOCUMENTS)
    tokenizer._is_apart = False
    assert encode(tokenizer, "Где столица? 北京", DOCUMENTS) == once


def test_a_tokenizer_that_merges_over_spaces_encodes_query_and_document_together() -> None:
    state = json.loads(checkpoints.chat_tokenizer().to_str())
    plain, merging = (
        Tokenizer.from_str(json.dumps(settings)) for settings in (state, state | _NO_PIECES)
    )
    assert _splits_before_documents(plain, "<Document>:", " ")
    assert not _splits_before_documents(merging, "<Document>:", " ")


@pytest.mark.skipif(
    not checkpoints.REAL_TOKENIZER.is_dir(),
    reason="the real Qwen3 tokenizer is not beside the project (../shared/data/qwen3-tokenizer)",
)
def test_the_real_tokenizer_gives_the_published_ids() -> None:
    tokenizer = causal(checkpoints.REAL_TOKENIZER)
    loaded = load_tokenizer(checkpoints.REAL_TOKENIZER)
    assert answer_ids(loaded, KNOWN["qwen3-reranker"].answers) == (9693, 2152)
    (ours,) = encode(tokenizer, "q", ["d"])
    suffix = [151645, 198, 151644, 77091, 198, 151667, 271, 151668, 271]
    assert ours.token_ids[-9:] == suffix
    (theirs,) = reference.prompt_ids(reference.tokenizer_of(checkpoints.REAL_TOKENIZER), "q", ["d"])
    assert ours.token_ids == theirs


def test_special_tokens_that_the_tokenizer_itself_adds_stay_where_they_were(
    tmp_path: Path,
) -> None:
    tokenizer = Tokenizer.from_str(checkpoints.chat_tokenizer().to_str())
    end = tokenizer.token_to_id("<|endoftext|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", end)]
    )
    checkpoints.write_tokenizer(tmp_path, tokenizer, tokenizer_class="PreTrainedTokenizerFast")
    ours = encode(causal(tmp_path, max_length=260), "query", DOCUMENTS)
    theirs = reference.prompt_ids(reference.tokenizer_of(tmp_path), "query", DOCUMENTS, limit=260)
    assert [pair.token_ids for pair in ours] == theirs
    assert end in ours[0].token_ids
    assert any(pair.truncated for pair in ours)


def test_the_instruction_of_the_request_beats_the_specs_which_beats_the_templates(
    chat: Path,
) -> None:
    plain, own = causal(chat), causal(chat, instruction="Find recipes")
    assert encode(plain, "q", ["d"]) == encode(plain, "q", ["d"], QWEN3.instruction)
    assert encode(own, "q", ["d"]) == encode(plain, "q", ["d"], "Find recipes")
    assert encode(own, "q", ["d"], "Find code") == encode(plain, "q", ["d"], "Find code")
    assert encode(own, "q", ["d"]) != encode(plain, "q", ["d"])


def test_braces_in_the_clients_text_are_text(chat: Path) -> None:
    (ours,) = encode(causal(chat), "{query} {0}", ["{document}"], "{instruction}")
    (theirs,) = reference.prompt_ids(
        reference.tokenizer_of(chat), "{query} {0}", ["{document}"], "{instruction}"
    )
    assert ours.token_ids == theirs


def test_answer_is_ends_with_those_words(chat: Path) -> None:
    tokenizer = load_tokenizer(chat)
    (official,) = encode(causal(chat), "q", ["d"])
    (ours,) = encode(causal(chat, "answer-is"), "q", ["d"])
    assert tokenizer.backend.decode(ours.token_ids).endswith("\n\nThe answer is:")
    assert ours.token_ids[:20] == official.token_ids[:20]


@pytest.mark.parametrize("instruction", ["", "Find recipes"])
def test_mxbai_prompt_is_assembled_as_its_own_package_does(chat: Path, instruction: str) -> None:
    tokenizer = reference.tokenizer_of(chat)

    def ids(text: str) -> list[int]:
        encoded: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return encoded

    template = TEMPLATES["mxbai-rerank-v2"]
    asked = "query: борщ"
    if instruction:
        asked = f"instruction: {instruction}\n{asked}"
    task = (
        "You are a search relevance expert who evaluates how well documents match search queries. "
        "For each query-document pair, carefully analyze the semantic relationship between them, "
        "then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\n"
        "Relevance:"
    )
    expected = [
        ids(str(template.runs[0][0]))
        + ids(asked)
        + ids("\n")
        + ids(f"document: {document}")
        + ids("\n")
        + ids(task)
        + ids("<|im_end|>\n<|im_start|>assistant\n")
        for document in DOCUMENTS
    ]
    ours = causal(chat, "mxbai-rerank-v2")
    assert [pair.token_ids for pair in encode(ours, "борщ", DOCUMENTS, instruction)] == expected
    answers = KNOWN["mxbai-rerank-v2"].answers
    assert answer_ids(load_tokenizer(chat), answers) == (ids("1")[0], ids("0")[0])


def test_answers_that_are_no_single_token_are_refused(tmp_path: Path) -> None:
    letters = {letter: id for id, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    checkpoints.write_tokenizer(tmp_path, tokenizer, tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(Refusal, match=r"'yes' and 'no' must be one token each"):
        answer_ids(load_tokenizer(tmp_path), KNOWN["qwen3-reranker"].answers)


def test_answers_that_are_unknown_words_are_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "yes": 1}, unk_token="[UNK]"))
    checkpoints.write_tokenizer(tmp_path, tokenizer, tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(Refusal, match=r"'yes' and 'no' must be one token each"):
        answer_ids(load_tokenizer(tmp_path), KNOWN["qwen3-reranker"].answers)


def test_only_the_end_of_the_document_is_cut(chat: Path) -> None:
    (whole,) = encode(causal(chat), "planets", [" ".join(checkpoints.SAMPLES)])
    length = len(whole) - 10
    (cut,) = encode(causal(chat, max_length=length), "planets", [" ".join(checkpoints.SAMPLES)])
    suffix = len(load_tokenizer(chat).ids(str(QWEN3.runs[-1][0])))
    assert not whole.truncated
    assert cut.truncated
    assert len(cut) == length
    assert cut.token_ids[-suffix:] == whole.token_ids[-suffix:]
    assert cut.token_ids[:-suffix] == whole.token_ids[: length - suffix]


@pytest.mark.parametrize("template", ["qwen3-reranker", "mxbai-rerank-v2"])
def test_max_document_tokens_counts_the_documents_tokens_alone(chat: Path, template: str) -> None:
    tokenizer = causal(chat, template)
    (none,) = encode(tokenizer, "q", [" "], limit=0)
    empty = len(none) - len(load_tokenizer(chat).ids("  "))
    for limit in (1, 2, 3, 4):
        four, two = encode(tokenizer, "q", ["yes yes yes yes", "yes yes"], limit=limit)
        assert len(four) == empty + limit
        assert four.truncated == (limit < 4)
        assert len(two) == empty + min(limit, 2)
        assert two.truncated == (limit < 2)


def test_a_query_that_leaves_no_room_is_refused_with_the_numbers(chat: Path) -> None:
    tokens = len(encode(causal(chat), "some query", [""])[0]) - 1  # an empty document is a space
    with pytest.raises(QueryTooLong) as error:
        encode(causal(chat, max_length=tokens), "some query", ["d"])
    assert (error.value.tokens, error.value.max_length) == (tokens, tokens)
    (fits,) = encode(causal(chat, max_length=tokens + 1), "some query", ["a document"])
    assert fits.truncated


@pytest.mark.parametrize("template", ["qwen3-reranker", "mxbai-rerank-v2"])
@pytest.mark.parametrize("by", ["max_length", "max_document_tokens"])
def test_the_end_of_the_document_is_kept_if_asked(chat: Path, template: str, by: str) -> None:
    tokenizer, document = causal(chat, template), " ".join(checkpoints.SAMPLES)
    whole, empty = encode(tokenizer, "planets", [document, ""])
    after = TEMPLATES[template].runs[2 if template == "qwen3-reranker" else 4 :]
    suffix = sum(len(load_tokenizer(chat).ids(str(run[0]))) for run in after)
    head = common_length(whole.token_ids, empty.token_ids)
    if by == "max_length":
        tokenizer = causal(chat, template, max_length=head + 10 + suffix)
        (cut,) = encode(tokenizer, "planets", [document], keep_end=True)
    else:
        (cut,) = encode(tokenizer, "planets", [document], limit=10, keep_end=True)
    assert cut.truncated
    assert cut.token_ids == whole.token_ids[:head] + whole.token_ids[-10 - suffix :]
    assert encode(causal(chat, template), "planets", [document], keep_end=True) == [whole]


def common_length(first: list[int], second: list[int]) -> int:
    """Return how many leading ids two prompts share: all before the document."""
    return next(at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)


class Noting:
    """A tokenizer that notes the texts it is given."""

    def __init__(self, backend: Tokenizer) -> None:
        self.texts: list[str] = []
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def encode_batch_fast(self, texts: Sequence[str], **settings: Any) -> Any:
        self.texts += texts
        return self._backend.encode_batch_fast(texts, **settings)


def noting(tokenizer: CausalTokenizer) -> list[str]:
    """Return the list of all texts that a tokenizer reads from now on."""
    backend = Noting(tokenizer._backend)
    tokenizer._backend = backend  # type: ignore[assignment]  # forwards all else
    return backend.texts


_QUERY = "an unmistakable query"
_INSTRUCTION = "an unmistakable instruction"
_JOB = Score(1, 0, 0, _INSTRUCTION, (_QUERY,), tuple([checkpoints.SAMPLES[0] * 200] * 8))


@pytest.mark.parametrize("template", ["qwen3-reranker", "mxbai-rerank-v2"])
@pytest.mark.parametrize("in_passages", [False, True])
def test_a_job_reads_its_query_once_however_many_slices_and_passages_it_has(
    template: str, in_passages: bool, chat: Path
) -> None:
    tokenizer = causal(chat, template, max_length=600, shares_prefixes=True)
    job = replace(_JOB, in_passages=in_passages)
    texts = noting(tokenizer)
    for _ in range(2):  # a request may be several jobs
        slices = list(tokenized_slices(tokenizer, job))
    assert len(slices) > 2
    assert sum(_QUERY in text for text in texts) == 1
    assert sum(_INSTRUCTION in text for text in texts) == 2  # by itself, and with the query
    pairs = [pair for slice_ in slices for document in slice_ for pair in document.pairs]
    assert len({id(pair.prefix) for pair in pairs}) == 1


def test_a_query_that_is_too_long_is_not_kept(chat: Path) -> None:
    tokenizer = causal(chat, max_length=200)
    for _ in range(2):
        with pytest.raises(QueryTooLong):
            encode(tokenizer, "long " * 500, ["d"])
    assert tokenizer._head.cache_info().currsize == 0


def merging() -> Tokenizer:
    """Return a tokenizer of letters, with two tokens that reach over the border: ": " and ": a".

    The answers are tokens too.
    """
    pieces = [*string.printable, ": ", ": a", "ye", "yes", "no"]
    merges = [(":", " "), (": ", "a"), ("y", "e"), ("ye", "s"), ("n", "o")]
    return Tokenizer(
        models.BPE(vocab={piece: at for at, piece in enumerate(pieces)}, merges=merges)
    )


def test_where_tokens_reach_over_the_space_most_of_the_query_is_shared_all_the_same() -> None:
    tokenizer = CausalTokenizer(load_from(merging()), QWEN3, max_length=8192, shares_prefixes=True)
    texts = noting(tokenizer)
    documents = ["a document", "another", "third", "yes", ""]
    calls = [
        encode(tokenizer, "query", slice_) for slice_ in (documents[:1], documents[1:], documents)
    ]
    head = f"<Instruct>: {QWEN3.instruction}\n<Query>: query\n"
    assert texts.count(f"{head}<Document>:") == 1

    backend = merging()
    start, end = (
        backend.encode(text).ids for text in map(str, (QWEN3.runs[0][0], QWEN3.runs[2][0]))
    )
    whole = [backend.encode(f"{head}<Document>: {document}").ids for document in documents]
    pairs = calls[2]
    assert [pair.token_ids for pair in pairs] == [[*start, *body, *end] for body in whole]
    assert [*calls[0], *calls[1]] == pairs
    assert len({pair.prefix for pair in pairs}) == 1
    (prefix,) = {pair.prefix for pair in pairs}
    assert prefix is not None
    assert prefix.token_ids == (*start, *backend.encode(head.removesuffix("\n")).ids)
    assert all(tuple(pair.token_ids[: len(prefix)]) == prefix.token_ids for pair in pairs)


@given(query=TEXT, documents=st.lists(TEXT, min_size=1, max_size=4), instruction=TEXT)
def test_a_prefix_is_what_its_pairs_begin_with(
    query: str, documents: list[str], instruction: str
) -> None:
    chat = Tokenizer.from_str(checkpoints.chat_tokenizer().to_str())  # a guard changes it
    for backend in (chat, merging()):
        tokenizer = CausalTokenizer(
            load_from(backend), QWEN3, max_length=8192, shares_prefixes=True
        )
        for pair in encode(tokenizer, query, documents, instruction):
            assert pair.prefix is not None
            assert tuple(pair.token_ids[: len(pair.prefix)]) == pair.prefix.token_ids
            assert pair.own_tokens > 0
            assert all(first < second for first, second in pairwise(pair.prefix.ends))
