"""A checkpoint's own chat template as a prompt: text that is the same for all pairs, and slots.

The template is rendered once as transformers does, with texts that report each operation on them.
A text that is output as it is, or without white space at its ends, becomes a slot. A template that
examines a text (its length, its content) or changes it is refused: its result for other texts is
unknown. Then ordinary texts, some of them empty, are rendered and compared.

A template is code of a stranger. It runs in the sandbox that transformers uses, for some seconds at
most, and cannot make huge texts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shards.checkpoint.template_sandbox import Looked, Text, TooMuch, environment, in_time
from shards.prompts import DOCUMENT, INSTRUCTION, QUERY, Prompt, Run, Slot
from shards.refusal import Refusal

LONGEST_TEMPLATE = 256 * 1024
"""The most characters of a template."""

_LONGEST_TEXT = 1 << 20
_WHITE = ("\n \u00a0", "\u00a0 \n")  # around texts, to find out whether a template strips them
_HARD = (
    *(
        "",
        " ",
        "a",
        "\n x \r\n",
        "{{ x }} {% y %}",
        "</think> <think>",
        "<|im_end|>\n<b>&amp;'\"\\",
    ),
    *(
        "12,345",
        "None",
        "é\u0301 中文 🙂",
        "http://a.b/c?d=e",
        "UPPER lower",
        "line\n" * 9,
        "long " * 9999,
    ),
)


class NotAPair(Exception):
    """A template that does not carry a query and a document; the message is the reason."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A template from a checkpoint's files.

    Attributes:
        text: the template.
        origin: the file with the template.
        is_structured: whether contents are lists of typed parts.
        settings: the variables that files set (`add_generation_prompt`, ...).
        special_tokens: the names of special tokens that templates use (`bos_token`, ...).
    """

    text: str
    origin: str
    is_structured: bool
    settings: Mapping[str, Any]
    special_tokens: Mapping[str, str]


def prompt_of(template: ChatTemplate, instruction: str) -> Prompt:
    """Return a template as a prompt.

    Args:
        instruction: the default instruction.

    Raises:
        NotAPair: query or document does not reach the text.
        Refusal: the template cannot be rendered, or does more with a text than output it.
    """
    render = _renderer(template)
    bare, runs = (_run_of(render, template.origin, instructed) for instructed in (False, True))
    made = Prompt(
        name=f"the chat template of {template.origin}",
        runs=(runs,),
        bare=(bare,),
        instruction=instruction,
        is_one_text=True,
    )
    _compare(render, made, template.origin)
    return made


Render = Callable[[str, str, str], str]
"""Returns the text of a query, a document and an instruction (empty for none)."""


def _renderer(template: ChatTemplate) -> Render:
    compiled = _compiled(template)

    def content(text: str) -> Any:
        return [{"type": "text", "text": text}] if template.is_structured else text

    def render(query: str, document: str, instruction: str) -> str:
        messages = [
            {"role": role, "content": content(text)}
            for role, text in (("system", instruction), ("query", query), ("document", document))
            if role != "system" or str.__len__(instruction)
        ]
        given: dict[str, Any] = {"messages": messages, "tools": None, "documents": None}
        given |= {"add_generation_prompt": False, **template.special_tokens, **template.settings}
        return _rendered(compiled, given, template.origin)

    return render


_ABSENT = ""


def _rendered(compiled: Any, given: Mapping[str, Any], origin: str) -> str:
    pieces: list[str] = []
    size = 0
    try:
        with in_time():
            for piece in compiled.generate(**given):
                size += len(piece)
                if size > _LONGEST_TEXT:
                    raise TooMuch(f"makes a text of over {_LONGEST_TEXT} characters")
                pieces.append(piece)
    except NotAPair:
        raise
    except (Looked, TooMuch) as error:
        raise Refusal(f"{origin} cannot be served faithfully: its chat template {error}") from error
    except Exception as error:  # whatever a template makes of two messages
        reason = str(error).strip().split("\n")[0]
        raise NotAPair(f"it raised {type(error).__name__}: {reason}") from error
    return "".join(pieces)


def _compiled(template: ChatTemplate) -> Any:
    import jinja2

    try:
        with in_time():
            return environment().from_string(template.text)
    except TooMuch as error:
        raise Refusal(f"{template.origin}: its chat template {error}") from error
    except (jinja2.TemplateError, RecursionError, ValueError, SyntaxError, MemoryError) as error:
        reason = str(error).strip().split("\n")[0]
        raise Refusal(
            f"{template.origin} has a chat template that is no Jinja ({type(error).__name__}: "
            f"{reason}): take it from the checkpoint's own repository"
        ) from error


def _run_of(render: Render, origin: str, instructed: bool) -> Run:
    """Return a template's text as one run.

    Raises:
        NotAPair: query or document is not in it.
    """
    cores = {role: f"\ue000{role}<&'\"\\é\ue001" for role in (QUERY, DOCUMENT, INSTRUCTION)}
    texts = {role: Text(f"{_WHITE[0]}{core}{_WHITE[1]}") for role, core in cores.items()}
    text = render(texts[QUERY], texts[DOCUMENT], texts[INSTRUCTION] if instructed else _ABSENT)
    any_core = "|".join(f"(?P<{role}>{re.escape(core)})" for role, core in cores.items())
    place = re.compile(f"({re.escape(_WHITE[0])})?(?:{any_core})({re.escape(_WHITE[1])})?")
    run: list[str | Slot] = []
    end = 0
    for match in place.finditer(text):
        run.append(text[end : match.start()])
        start_kept, end_kept = match.group(1), match.group(match.re.groups)
        role = next(role for role in cores if match[role] is not None)
        run.append(Slot(role, start_kept is None, end_kept is None))
        end = match.end()
    run.append(text[end:])
    _expect_once(run, origin)
    return tuple(piece for piece in run if piece)


def _expect_once(run: Sequence[str | Slot], origin: str) -> None:
    filled_by = [piece.filled_by for piece in run if isinstance(piece, Slot)]
    for role in (QUERY, DOCUMENT):
        if role not in filled_by:
            raise NotAPair(f"the {role} does not reach its text")
    if filled_by.count(DOCUMENT) > 1:
        raise Refusal(f"{origin} has a chat template that repeats the document: it is not served")
    if any("\ue000" in piece or "\ue001" in piece for piece in run if isinstance(piece, str)):
        raise Refusal(f"{origin} has a chat template that changes texts: it is not served")


def _compare(render: Render, made: Prompt, origin: str) -> None:
    """Refuse a prompt whose text is not that of its template."""
    for at, query in enumerate(_HARD):
        document, instruction = _HARD[(at + 5) % len(_HARD)], _HARD[(at + 2) % len(_HARD)]
        for given in dict.fromkeys((instruction or "find", _ABSENT)):
            expected = render(query, document, given)
            filling = {QUERY: query, DOCUMENT: document, INSTRUCTION: given}
            runs = made.runs if given else made.bare
            text = "".join(
                piece if isinstance(piece, str) else piece.fill(filling[piece.filled_by])
                for run in runs
                for piece in run
            )
            if text != expected:
                raise Refusal(
                    f"{origin} cannot be served faithfully: its chat template makes something else "
                    f"of the query {query[:40]!r} and the document {document[:40]!r} than of others"
                )
