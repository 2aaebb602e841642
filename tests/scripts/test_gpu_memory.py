"""The memory of a model on a GPU, computed from its own pass, stays under the documented bound."""

from scripts.gpu_memory import cases


def test_06b_takes_less_than_4_gb_at_8k_tokens_a_batch() -> None:
    (case,) = cases(8192, ["a query of 1,500 tokens"])  # this case takes the most memory
    assert 7_000 < case.tokens <= 8192
    assert 1.15 < case.weights_gb < 1.25  # 596 million numbers of two bytes
    assert case.weights_gb + 0.2 < case.peak_gb < 3.5  # of 4: libraries take the rest
