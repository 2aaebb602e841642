"""Inflectional endings of English and Russian, as one regular expression each.

A word that is inflected should still match itself: «борщ», «борща» and «борщом» are one term. The
tokenizers drop endings while they split text into words, so the stem alone is looked up in the
vocabulary. This needs no code in the engine: a `tokenizer.json` may hold a pre-tokenizer that
removes what a pattern matches.

The search for a pattern goes from left to right, and each pattern ends at the end of the word, so
the leftmost match is the longest ending. A stem keeps at least three letters, one of them a vowel.
The patterns see lower-case text without accents: «й» has become «и» and «ё» has become «е».
"""

ENGLISH_VOWELS, ENGLISH = "aeiouy", "a-z"
RUSSIAN_VOWELS, RUSSIAN = "аеиоуыэюя", "а-я"

DOUBLED = "bdgmnprt"  # "resetting" is "reset" + "ting"

ADJECTIVE = "ого его ому ему ыми ими ых их ым им ои еи ыи ии ая яя ое ее ые ие ую юю ом ем ою ею"
NOUN = (
    "а я о е ы и у ю ь ам ям ами ями ах ях ов ев еи ои ом ем ием иям иями иях иеи ии ия ие ию "
    "ью ья ье ьев ьям ьями ьях ьи ою ею"
)
VERB = (
    "ать ять ить еть уть ыть чь "
    "ает ают аем аете аешь аю яет яют яем яете яешь яю ует уют уем уете уешь ую еет еют "
    "ет ете ем ешь ут ют ит ите им ишь ат ят аите яите уите "
    "ывать ивать ывает ивает ывают ивают ываем ывал ывала ывали ивал ивала ивали "
    "овать овал овала овали евать"
)
PARTICIPLE = "анн енн ованн ивш авш ывш ющ ущ ащ ящ ающ яющ ующ ивающ ывающ аем яем уем"
PAST = "ал ял ил ел ул ыл"
PAST_END = "а о и ы у е ом ам ами ах ов"


def any_of(words: str) -> str:
    return "(?:" + "|".join(words.split()) + ")"


def after_stem(letters: str, vowels: str, length: int = 3) -> str:
    """A look-behind: at least `length` letters, and a vowel near the end of them."""
    letter, vowel = f"[{letters}]", f"[{vowels}]"
    places = [letter * i + vowel + letter * (length - 1 - i) for i in range(length)]
    clusters = [vowel + letter * length, vowel + letter * (length + 1)]
    return "(?<=" + "|".join([*places, *clusters]) + ")"


def english_ending() -> str:
    doubled = "|".join(f"(?<={c}){c}(?:ing|ed)" for c in DOUBLED)
    short = f"{doubled}|ings?|(?<!e)ed|e|es|(?<![siu])s"
    long = "ers?|ations?|ions?|ly|ness"
    start, long_start = after_stem(ENGLISH, ENGLISH_VOWELS), after_stem(ENGLISH, ENGLISH_VOWELS, 5)
    return f"(?:{start}(?:{short})|{long_start}(?:{long}))$"


def russian_ending() -> str:
    past = f"{any_of(PAST)}{any_of(PAST_END)}?"
    participle = f"{any_of(PARTICIPLE)}(?:{any_of(ADJECTIVE)}|{any_of(NOUN)})?"
    verb = f"(?:{any_of(VERB)}|{past}|{participle})(?:ся|сь)?"
    abstract = f"{after_stem(RUSSIAN, RUSSIAN_VOWELS, 4)}ост(?:ь|и|ью|еи|ям|ями|ях)"
    start = after_stem(RUSSIAN, RUSSIAN_VOWELS)
    return f"(?:{start}(?:{verb}|{any_of(ADJECTIVE)}|{any_of(NOUN)}|ся|сь)|{abstract})$"
