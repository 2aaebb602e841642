"""Requests to contestants are the same for all, new where they should be, and never padded out."""

from scripts.bench_suite.workloads import REPEATED, known, passages, steps


def test_all_contestants_get_the_same_requests_and_each_round_has_others() -> None:
    assert steps(["short3", "rag20"], 1) == steps(["short3", "rag20"], 1)
    first, second = steps(["rag20"], 0), steps(["rag20"], 1)
    assert {step.asked.query for step in first}.isdisjoint(step.asked.query for step in second)


def test_a_repeated_query_has_new_documents() -> None:
    asked = steps(["short3"], 0)
    assert [step.workload for step in asked] == ["short3", f"short3{REPEATED}"] * 3
    for new, repeated in zip(asked[::2], asked[1::2], strict=True):
        assert repeated.asked.query == new.asked.query
        assert set(repeated.asked.documents).isdisjoint(new.asked.documents)
        lengths = [[len(text.split()) for text in step.asked.documents] for step in (new, repeated)]
        assert lengths[0] == lengths[1]
    assert len({step.asked.query for step in asked}) == 3


def test_without_repeats_the_new_queries_are_the_same() -> None:
    """Figures of a slow contestant can then be compared with the first figures of a fast one."""
    alone = steps(["short3", "rag20"], 0, repeats=False)
    assert alone == [
        step for step in steps(["short3", "rag20"], 0) if REPEATED not in step.workload
    ]


def test_forty_passages_are_forty() -> None:
    (step,) = steps(["rag40"], 0, repeats=False)
    assert len(set(step.asked.documents)) == 40


def test_passages_have_the_same_lengths_however_many_there_are() -> None:
    ten, thousand = passages(10).documents, passages(1000).documents
    words = [len(document.split()) for document in thousand]
    assert words == [len(document.split()) for document in ten] * 100
    assert len(set(thousand)) == 1000
    assert passages(10).query == passages(1000).query
    short = [len(document.split()) for document in passages(100, most_words=40).documents]
    assert short == [min(40, length) for length in words[:100]]


def test_all_must_agree_on_sentences_and_passages() -> None:
    assert len(known().documents) == 8
