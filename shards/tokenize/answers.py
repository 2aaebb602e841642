"""The ids of the answer tokens, whose logits make a decoder's margin."""

from shards.prompts import Answers
from shards.refusal import Refusal
from shards.tokenize.tokenizer import LoadedTokenizer
from shards.wire.exit_codes import ExitCode


def answer_ids(tokenizer: LoadedTokenizer, answers: Answers) -> tuple[int, int | None]:
    """Return the ids of the true and the false answer; `None` where there is no false answer.

    Raises:
        Refusal: an answer is no single token, or both are the same.
    """
    true, false = answers.true, answers.false
    ids = _id_of(tokenizer, true), None if false is None else _id_of(tokenizer, false)
    if ids[0] is None or (false is not None and ids[1] is None) or ids[0] == ids[1]:
        raise Refusal(_not_single(tokenizer, answers), ExitCode.SPEC)
    return ids[0], ids[1]


def _not_single(tokenizer: LoadedTokenizer, answers: Answers) -> str:
    words = [answer for answer in (answers.true, answers.false) if answer is not None]
    found = [str(tokenizer.ids(word) if isinstance(word, str) else word) for word in words]
    return (
        f"the answers {' and '.join(map(repr, words))} must be one token each, and different; the "
        f"tokenizer gives {' and '.join(found)}: choose the template this checkpoint was trained on"
    )


def _id_of(tokenizer: LoadedTokenizer, answer: str | int) -> int | None:
    if isinstance(answer, int):
        return answer
    if (id := tokenizer.backend.token_to_id(answer)) is not None:
        return id
    ids = tokenizer.ids(answer)
    unknown = getattr(tokenizer.backend.model, "unk_token", None)
    known = len(ids) == 1 and tokenizer.backend.id_to_token(ids[0]) != unknown
    return ids[0] if known else None
