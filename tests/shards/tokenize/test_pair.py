"""Two segments as the tokenizer itself joins them; only the end of the document is cut."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from shards.pairs import QueryTooLong
from shards.refusal import Refusal
from tests import checkpoints
from tests.shards.engines import reference
from tests.shards.tokenize.tokenizers_made import DOCUMENTS, TEXT, encode, pair


def test_pair_cuts_only_the_document(words: Path) -> None:
    query, document = "Gravity", " ".join(checkpoints.SAMPLES)
    (whole,) = encode(pair(words), query, [document])
    (cut,) = encode(pair(words, max_length=20), query, [document])
    assert (whole.truncated, cut.truncated) == (False, True)
    assert len(cut) == 20
    assert cut.token_ids == [*whole.token_ids[:19], whole.token_ids[-1]]
    assert cut.document_start == whole.document_start
    (limited,) = encode(pair(words), query, [document], limit=3)
    assert len(limited) == whole.document_start + 3 + 1
    assert limited.truncated


def test_pair_refuses_a_query_that_leaves_no_room(words: Path) -> None:
    length = encode(pair(words), "Gravity is a force", [""])[0].document_start + 1
    with pytest.raises(QueryTooLong) as error:
        encode(pair(words, max_length=length), "Gravity is a force", ["d"])
    assert (error.value.tokens, error.value.max_length) == (length, length)
    assert encode(pair(words, max_length=length + 1), "Gravity is a force", ["a force"])


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", ["words", "pieces"])
def test_pairs_equal_the_tokenizers_own(
    kind: str, side: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    ours_of, tokenizer = pair(folder, max_length=24), reference.tokenizer_of(folder)
    tokenizer.truncation_side = side

    @given(
        query=st.sampled_from(["", "Как часто?", "the capital"]),
        document=st.one_of(TEXT, st.sampled_from(DOCUMENTS)),
    )
    def equal(query: str, document: str) -> None:
        theirs = tokenizer(
            [query],
            [document],
            truncation="only_second",
            max_length=24,
            return_token_type_ids=True,
        )
        (ours,) = encode(ours_of, query, [document], keep_end=side == "left")
        assert [ours.token_ids] == theirs["input_ids"]
        types = [int(at >= ours.document_start) for at in range(len(ours))]
        assert [types] == theirs["token_type_ids"]

    equal()


def test_instruction_means_nothing_to_a_pair(words: Path) -> None:
    assert encode(pair(words), "q", ["d"], "Find recipes") == encode(pair(words), "q", ["d"])


def test_a_tokenizer_that_does_not_separate_pairs_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(checkpoints.word_tokenizer().to_str())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A", pair="$A $B", special_tokens=[]
    )
    checkpoints.write_tokenizer(tmp_path, tokenizer, tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(Refusal, match="puts nothing between query and document"):
        pair(tmp_path)


def test_the_end_is_kept_if_asked(words: Path) -> None:
    query, document = "Gravity", " ".join(checkpoints.SAMPLES)
    (whole,) = encode(pair(words), query, [document])
    start = whole.document_start
    (cut,) = encode(pair(words), query, [document], limit=3, keep_end=True)
    assert cut.truncated
    assert cut.token_ids == [*whole.token_ids[:start], *whole.token_ids[-4:]]
    assert cut.document_start == start
    assert encode(pair(words), query, [document], keep_end=True) == [whole]
    assert encode(pair(words), query, [""], keep_end=True) == encode(pair(words), query, [""])
