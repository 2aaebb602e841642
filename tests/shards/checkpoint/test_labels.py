"""The label whose logit counts, by the names that people give to labels."""

import pytest

from shards.checkpoint.labels import label_weights

_FIRST_IS_WRONG = (
    ("LABEL_0", "relevant"),
    ("Irrelevant", "Relevant"),
    ("not relevant", "relevant"),
    ("non-relevant", "relevant"),
    ("NOT_RELEVANT", "RELEVANT"),
    ("0", "1"),
    ("no", "yes"),
    ("neg", "pos"),
    ("not_entailment", "entailment"),
    ("not_duplicate", "duplicate"),
    ("not related", "related"),
    ("unrelated", "related"),
    ("is not similar", "similar"),
    ("incorrect", "correct"),
    ("no match", "match"),
    ("contradiction", "entailment"),
)


@pytest.mark.parametrize("labels", _FIRST_IS_WRONG, ids="/".join)
def test_the_positive_label_counts(labels: tuple[str, str]) -> None:
    assert label_weights(dict(enumerate(labels)), "m") == ((-1.0, 1.0), ())
    assert label_weights(dict(enumerate(labels[::-1])), "m") == ((1.0, -1.0), ())


@pytest.mark.parametrize("labels", [("LABEL_0", "LABEL_1"), ("first", "second"), ("not", "x")])
def test_where_labels_do_not_say_it_the_last_counts_with_a_warning(
    labels: tuple[str, str],
) -> None:
    weights, (warning,) = label_weights(dict(enumerate(labels)), "m")
    assert weights == (-1.0, 1.0)
    assert "do not say which is positive; guessed the last" in warning
