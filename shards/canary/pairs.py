"""Queries with the document that answers each, in several languages: any reranker has them right.

In each language the three queries are scored with all three documents, so every document is the
right one once and a wrong one twice. So a model that prefers a document for any query (a random
head, a bias, its length) cannot pass. The right document repeats words of its query, so that even a
small model, or one with little of the language, passes; the others share no topic with the query.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A query and the document that answers it."""

    query: str
    right: str


KNOWN: dict[str, tuple[Known, ...]] = {
    "en": (
        Known(
            "What is the capital of France?",
            "Paris is the capital of France and its largest city.",
        ),
        Known(
            "How do bees make honey?",
            "Bees make honey from the nectar of flowers, which they store in the hive.",
        ),
        Known(
            "Which planet is the largest in the solar system?",
            "Jupiter is the largest planet in the solar system.",
        ),
    ),
    "ru": (
        Known(
            "Какой город является столицей Франции?",
            "Столицей Франции является город Париж.",
        ),
        Known(
            "Как пчёлы делают мёд?",
            "Пчёлы делают мёд из нектара цветов и хранят его в улье.",
        ),
        Known(
            "Какая планета самая большая в Солнечной системе?",
            "Юпитер — самая большая планета в Солнечной системе.",
        ),
    ),
    "zh": (
        Known("法国的首都是哪里？", "法国的首都是巴黎，它也是法国最大的城市。"),
        Known("蜜蜂怎样酿造蜂蜜？", "蜜蜂采集花蜜，在蜂巢里酿造蜂蜜。"),
        Known("太阳系中最大的行星是哪一颗？", "木星是太阳系中最大的行星。"),
    ),
    "de": (
        Known(
            "Was ist die Hauptstadt von Frankreich?",
            "Paris ist die Hauptstadt von Frankreich und die größte Stadt des Landes.",
        ),
        Known(
            "Wie machen Bienen Honig?",
            "Bienen machen Honig aus dem Nektar von Blüten und lagern ihn im Bienenstock.",
        ),
        Known(
            "Welcher Planet ist der größte im Sonnensystem?",
            "Jupiter ist der größte Planet im Sonnensystem.",
        ),
    ),
    "es": (
        Known(
            "¿Cuál es la capital de Francia?",
            "París es la capital de Francia y su ciudad más grande.",
        ),
        Known(
            "¿Cómo hacen miel las abejas?",
            "Las abejas hacen miel con el néctar de las flores y la guardan en la colmena.",
        ),
        Known(
            "¿Qué planeta es el más grande del sistema solar?",
            "Júpiter es el planeta más grande del sistema solar.",
        ),
    ),
    "ar": (
        Known("ما هي عاصمة فرنسا؟", "باريس هي عاصمة فرنسا وأكبر مدنها."),
        Known("كيف يصنع النحل العسل؟", "يصنع النحل العسل من رحيق الأزهار ويخزنه في الخلية."),
        Known(
            "ما هو أكبر كوكب في المجموعة الشمسية؟",
            "المشتري هو أكبر كوكب في المجموعة الشمسية.",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A query with a document, and whether it is the right one."""

    language: str
    query: str
    document: str
    is_right: bool


def known_pairs(languages: Iterable[str] = ()) -> tuple[Pair, ...]:
    """Return every query with every document, by language; of all languages if none is named."""
    chosen = [language for language in languages if language in KNOWN] or list(KNOWN)
    return tuple(pair for language in chosen for pair in _square(language, KNOWN[language]))


def _square(language: str, known: Sequence[Known]) -> Iterable[Pair]:
    for question in known:
        for answer in known:
            yield Pair(language, question.query, answer.right, question is answer)
