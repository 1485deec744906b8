"""English morphology: articles, plurals and verb forms, regular by rule and irregular by table."""

from __future__ import annotations

from functools import lru_cache


def _table(text: str) -> dict[str, list[str]]:
    """First word -> the others, for entries separated by semicolons."""
    return {entry.split()[0]: entry.split()[1:] for entry in text.split(";")}


_IRREGULAR = _table(
    """
    be was been; bend bent bent; bind bound bound; break broke broken; bring brought brought; build
    built built; buy bought bought; cast cast cast; catch caught caught; choose chose chosen; come came
    come; cut cut cut; dig dug dug; do did done; draw drew drawn; drink drank drunk; eat ate eaten; fall
    fell fallen; feed fed fed; feel felt felt; find found found; fly flew flown; forget forgot
    forgotten; freeze froze frozen; get got got; give gave given; go went gone; grind ground ground;
    grow grew grown; hang hung hung; have had had; hear heard heard; hide hid hidden; hold held held;
    keep kept kept; know knew known; lay laid laid; lead led led; leave left left; lend lent lent; let
    let let; light lit lit; lose lost lost; make made made; meet met met; pay paid paid; put put put;
    read read read; rise rose risen; run ran run; say said said; see saw seen; sell sold sold; send sent
    sent; set set set; sew sewed sewn; shake shook shaken; shut shut shut; sing sang sung; sit sat sat;
    sleep slept slept; speak spoke spoken; spend spent spent; spread spread spread; stand stood stood;
    stick stuck stuck; sweep swept swept; swim swam swum; take took taken; teach taught taught; tear
    tore torn; tell told told; think thought thought; throw threw thrown; understand understood
    understood; wear wore worn; weave wove woven; win won won; wind wound wound; write wrote written
    """
)
"""Verb -> past and participle."""
_DOUBLING = {
    "admit",
    "chop",
    "clap",
    "dip",
    "drag",
    "drip",
    "drop",
    "fit",
    "grab",
    "hug",
    "hum",
    "jog",
    "knit",
    "mop",
    "nod",
    "pat",
    "peg",
    "permit",
    "pin",
    "plan",
    "plot",
    "rub",
    "scrub",
    "ship",
    "skip",
    "slip",
    "stir",
    "stop",
    "strip",
    "tap",
    "tie-dye",
    "trim",
    "whip",
    "wrap",
}
_DOUBLING_ING = {
    "begin",
    "cut",
    "dig",
    "forget",
    "get",
    "let",
    "put",
    "run",
    "set",
    "shut",
    "sit",
    "swim",
    "win",
}
_PLURALS = _table(
    """
    cello cellos; child children; foot feet; half halves; kimchi kimchi; kimono kimonos; knife knives;
    leaf leaves; loaf loaves; man men; mouse mice; person people; photo photos; piano pianos; potato
    potatoes; radio radios; scarf scarves; sheep sheep; shelf shelves; tomato tomatoes; tooth teeth;
    wife wives; woman women
    """
)
_AN_DESPITE_CONSONANT = ("hour", "honest", "honour", "heir")
_A_DESPITE_VOWEL = ("uni", "use", "usu", "eu", "one", "once", "ukulele", "unique", "utensil")


def article(phrase: str) -> str:
    """`a` or `an`, by the sound with which `phrase` begins."""
    low = phrase.lower()
    if low.startswith(_AN_DESPITE_CONSONANT):
        return "an"
    if low[0].isdigit():
        return "an" if low[0] == "8" or low.split(",")[0].split(" ")[0] in ("11", "18") else "a"
    return "an" if low[0] in "aeiou" and not low.startswith(_A_DESPITE_VOWEL) else "a"


@lru_cache(maxsize=16384)
def plural(phrase: str) -> str:
    """The plural of a noun phrase; the head is its last word, or the word before `of`."""
    head, of, rest = phrase.partition(" of ")
    before, space, word = head.rpartition(" ")
    if word in _PLURALS:
        word = _PLURALS[word][0]
    elif word.endswith(("s", "x", "z", "ch", "sh")):
        word += "es"
    elif word.endswith("y") and word[-2] not in "aeiou":
        word = word[:-1] + "ies"
    else:
        word += "s"
    return before + space + word + of + rest


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + verb[-1] + "ed" if verb in _DOUBLING else verb + "ed"


@lru_cache(maxsize=16384)
def conjugate(verb: str, form: str) -> str:
    """One verb in a form: `base`, `s` (third person), `past`, `pp` (participle), `ing`.

    Raises:
        ValueError: there is no such form.
    """
    if form == "base":
        return verb
    if form in ("past", "pp"):
        pair = _IRREGULAR.get(verb)
        return pair[form == "pp"] if pair else _regular_past(verb)
    if form == "s":
        if verb in ("be", "have"):
            return {"be": "is", "have": "has"}[verb]
        if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
            return verb + "es"
        return verb[:-1] + "ies" if verb.endswith("y") and verb[-2] not in "aeiou" else verb + "s"
    if form == "ing":
        if verb in _DOUBLING or verb in _DOUBLING_ING:
            return verb + verb[-1] + "ing"
        silent = verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be"
        return verb[:-1] + "ing" if silent else verb + "ing"
    raise ValueError(f"{form!r} is not a form of the verb {verb!r}")


def conjugate_phrase(phrase: str, form: str) -> str:
    """As `conjugate`, for the first word of a verb phrase: `repair the roof` -> `repaired the roof`."""
    verb, space, rest = phrase.partition(" ")
    return conjugate(verb, form) + space + rest
