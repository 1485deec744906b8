"""Loads `words/*.txt` and `phrases/*.txt`, and selects the share that belongs to a style.

Words: `[section]`, then entries separated by `;`, each `Korean = English` (optional third and fourth fields: what the
thing is used for). Phrases: `[section]`, then two lines per pair, Korean above English. The prefix of a section's name
gives its kind: `v.` verbs, `a.` adjectives, otherwise nouns and phrases. `#` begins a comment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kormo_plugins.embedded.template import Template, Word

FOLDER = Path(__file__).parent
Entry = Word | Template
"""An item of a pool: a word, or a phrase with slots of its own."""


@dataclass(frozen=True, slots=True)
class Use:
    """The use of a thing, as a verb phrase in both languages."""

    noun: Word
    use: Word


def _sections(folder: str) -> dict[str, list[str]]:
    """Section name -> its lines, over all files of a folder."""
    sections: dict[str, list[str]] = {}
    for path in sorted((FOLDER / folder).glob("*.txt")):
        name = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            line = line.strip()
            if line.startswith("[") and line.endswith("]"):
                name = line[1:-1]
                if name in sections:
                    raise ValueError(f"{path.name}: the section {name} occurs twice")
                sections[name] = []
            elif line and not line.startswith("#"):
                sections[name].append(line)
    return sections


@lru_cache(maxsize=1)
def all_words() -> dict[str, list[tuple[str, ...]]]:
    """Every word list: section -> entries as tuples of their fields."""
    lists = {}
    for name, lines in _sections("words").items():
        entries = (entry.strip() for line in lines for entry in line.split(";"))
        lists[name] = [tuple(part.strip() for part in entry.split("=")) for entry in entries if entry]
    return lists


@lru_cache(maxsize=1)
def all_phrases() -> dict[str, list[Template]]:
    """Every phrase list: section -> templates."""
    lists = {}
    for name, lines in _sections("phrases").items():
        if len(lines) % 2:
            raise ValueError(f"phrases [{name}]: a Korean line without its English, or the reverse")
        lists[name] = [Template(ko, en) for ko, en in zip(lines[::2], lines[1::2], strict=True)]
    return lists


def belongs(index: int, count: int, style: int) -> bool:
    """Whether a style uses the `index`-th of `count` entries: three in five, a different selection for each of five
    styles; short lists are shared by all."""
    return count < 5 or (index + 2 * style) % 5 < 3


class Lexicon:
    """The words and phrases of one style."""

    def __init__(self, style: int) -> None:
        self.style = style
        self.words: dict[str, tuple[Word, ...]] = {}
        self.uses: dict[str, tuple[Use, ...]] = {}
        self.phrases: dict[str, tuple[Template, ...]] = {}
        for name, entries in all_words().items():
            kept = [entry for k, entry in enumerate(entries) if belongs(k, len(entries), style)]
            self.words[name] = tuple(
                Word(entry[0], entry[-1] if len(entry) < 3 else entry[1], name.startswith("a.")) for entry in kept
            )
            if len(kept[0]) == 4:
                self.uses[name] = tuple(Use(Word(entry[0], entry[1]), Word(entry[2], entry[3])) for entry in kept)
        for name, templates in all_phrases().items():
            kept_phrases = [t for k, t in enumerate(templates) if belongs(k, len(templates), style)]
            self.phrases[name] = tuple(kept_phrases)
        self.pools: dict[str, tuple[Entry, ...]] = {**self.words, **self.phrases}


@lru_cache(maxsize=8)
def lexicon(style: int) -> Lexicon:
    """The lexicon of a style, cached."""
    return Lexicon(style)


@lru_cache(maxsize=1)
def calendar() -> tuple[tuple[Word, ...], ...]:
    """The months, the seasons (from spring) and the weekdays (from Monday), complete for every style."""
    words = all_words()
    return tuple(tuple(Word(entry[0], entry[1]) for entry in words[name]) for name in ("month", "season", "weekday"))
