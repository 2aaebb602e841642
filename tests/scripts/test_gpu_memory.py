"""What a model takes on a GPU is computed from its own pass, and stays under what was promised."""

from scripts.gpu_memory import cases


def test_06b_takes_less_than_4_gb_at_8k_tokens_a_batch() -> None:
    (one,) = cases(8192, ["a query of 1,500 tokens"])  # of all kinds the one that takes most
    assert 7_000 < one.tokens <= 8192
    assert 1.15 < one.weights_gb < 1.25  # 596 million numbers of two bytes
    assert one.weights_gb + 0.2 < one.peak_gb < 3.5  # of 4: the rest is the libraries'
