"""The 25 constraints of IFEval, each a predicate of an answer and the constraint's arguments.

Names and arguments are those of the benchmark's data (`instruction_id_list`, `kwargs`); definitions follow Zhou et al.,
"Instruction-Following Evaluation for Large Language Models", arXiv 2311.07911. The code is ours and needs no download:
the authors split sentences with an NLTK model and detect languages with langdetect; we use `korean/text.py` for
sentences, and script and frequent words for languages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from kormo_plugins.evaluation.instructions.languages import is_language
from kormo_plugins.korean.text import sentences

Arguments = Mapping[str, Any]
Check = Callable[[str, Arguments], bool]


def related(count: int, relation: str, bound: int) -> bool:
    """`less than` or `at least`.

    Raises:
        KeyError: another relation.
    """
    return {"less than": count < bound, "at least": count >= bound}[relation]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _sentences(text: str) -> list[str]:
    """The sentences of a text. A line break ends none, as in the authors' NLTK: a verse of four lines can be one."""
    return sentences(" ".join(text.split()))


def _paragraphs(text: str, arguments: Arguments) -> bool:
    """Number of parts between `***`; an empty part is only allowed, and not counted, at the beginning and the end."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    inner = [part for place, part in enumerate(parts) if part.strip() or 0 < place < len(parts) - 1]
    return all(part.strip() for part in inner) and len(inner) == int(arguments["num_paragraphs"])


def _first_word(text: str, arguments: Arguments) -> bool:
    parts = [part.strip() for part in re.split(r"\n\n", text) if part.strip()]
    number = int(arguments["nth_paragraph"])
    if len(parts) != int(arguments["num_paragraphs"]) or not 1 <= number <= len(parts):
        return False
    first = re.split(r"[.,?!'\"\s]", parts[number - 1].lstrip("'\""), maxsplit=1)[0]
    return first.casefold() == str(arguments["first_word"]).casefold()


def _highlighted(text: str, arguments: Arguments) -> bool:
    single = [span for span in re.findall(r"\*([^\n*]*)\*", text) if span.strip()]
    double = [span for span in re.findall(r"\*\*([^\n*]*)\*\*", text) if span.strip()]
    return len(single) + len(double) >= int(arguments["num_highlights"])


def _sections(text: str, arguments: Arguments) -> bool:
    mark = re.escape(str(arguments["section_spliter"]).strip())
    return len(re.findall(rf"\s?{mark}\s?\d+\s?", text)) >= int(arguments["num_sections"])


def _json(text: str, _: Arguments) -> bool:
    bare = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip(), flags=re.I)
    try:
        json.loads(bare)
    except ValueError:
        return False
    return True


def _two_responses(text: str, _: Arguments) -> bool:
    parts = [part.strip() for part in text.split("******")]
    inner = [part for place, part in enumerate(parts) if part or 0 < place < len(parts) - 1]
    return len(inner) == 2 and all(inner) and inner[0] != inner[1]


def _postscript(text: str, arguments: Arguments) -> bool:
    marker = str(arguments["postscript_marker"])
    letters = r"\s?".join(re.escape(one) + r"\.?" for one in re.sub(r"[^A-Za-z]", "", marker))
    pattern = letters if marker.upper() in ("P.S.", "P.P.S") else re.escape(marker)
    return re.search(rf"^\s*{pattern}.*$", text, flags=re.I | re.M) is not None


def _capital_words(text: str, arguments: Arguments) -> bool:
    count = sum(word.isupper() for word in re.findall(r"\w+(?:[-'’]\w+)*", text))
    return related(count, arguments["capital_relation"], int(arguments["capital_frequency"]))


def _contains(word: str, text: str) -> bool:
    return word.casefold() in text.casefold()


def _whole_word(word: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text, flags=re.I) is not None


CHECKS: dict[str, Check] = {
    "keywords:existence": lambda text, a: all(_contains(word, text) for word in a["keywords"]),
    "keywords:frequency": lambda text, a: related(
        text.casefold().count(str(a["keyword"]).casefold()), a["relation"], int(a["frequency"])
    ),
    "keywords:forbidden_words": lambda text, a: not any(_whole_word(word, text) for word in a["forbidden_words"]),
    "keywords:letter_frequency": lambda text, a: related(
        text.lower().count(str(a["letter"]).lower()), a["let_relation"], int(a["let_frequency"])
    ),
    "language:response_language": lambda text, a: is_language(text, str(a["language"])),
    "length_constraints:number_sentences": lambda text, a: related(
        len(_sentences(text)), a["relation"], int(a["num_sentences"])
    ),
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": lambda text, a: related(len(_words(text)), a["relation"], int(a["num_words"])),
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": lambda text, a: (
        len(re.findall(r"\[.*?\]", text)) >= int(a["num_placeholders"])
    ),
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": lambda text, a: (
        len(re.findall(r"^\s*(?:\*(?!\*)|-)\s*\S", text, flags=re.M)) == int(a["num_bullets"])
    ),
    "detectable_format:constrained_response": lambda text, _: any(
        answer in text for answer in ("My answer is yes.", "My answer is no.", "My answer is maybe.")
    ),
    "detectable_format:number_highlighted_sections": _highlighted,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": lambda text, _: any(one.strip() for one in re.findall(r"<<([^\n<>]+)>>", text)),
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": lambda text, a: (
        text.strip().casefold().startswith(str(a["prompt_to_repeat"]).strip().casefold())
    ),
    "startend:end_checker": lambda text, a: (
        text.strip().strip('"').casefold().endswith(str(a["end_phrase"]).strip().casefold())
    ),
    "startend:quotation": lambda text, _: len(text.strip()) > 1 and text.strip()[0] == '"' == text.strip()[-1],
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": lambda text, _: text.isupper() and is_language(text.lower(), "en"),
    "change_case:english_lowercase": lambda text, _: text.islower() and is_language(text, "en"),
    "punctuation:no_comma": lambda text, _: "," not in text,
}
"""Constraint -> whether an answer satisfies it."""
