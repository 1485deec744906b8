"""Commented Python code that runs, explained, with its actual output."""

from __future__ import annotations

from kormo_plugins.embedded.genres.programs import PROGRAMS, Program
from kormo_plugins.embedded.template import Word, both
from kormo_plugins.embedded.writer import Writer


def _source(w: Writer, program: Program) -> Word:
    """The function with its docstring and comment in each language."""
    doc, why = w.pair(f"code.doc.{program.topic}"), w.pair("code.why")

    def side(doc_text: str, why_text: str) -> str:
        """The program with its docstring and its comment in one language."""
        return program.source.replace("«doc»", f'"""{doc_text}"""').replace("«why»", why_text)

    return Word(side(doc.ko, why.ko), side(doc.en, why.en))


def _example(w: Writer, program: Program) -> None:
    """Prose, the code in a fence, and its output."""
    source = _source(w, program)
    w.paragraph()
    w.say("code.intro", f=Word(f"`{program.name}`", f"`{program.name}`"))
    w.paragraph()
    ends = f"\n\n\nprint({program.call})\n```"
    w.line(Word(f"```python\n{source.ko}{ends}", f"```python\n{source.en}{ends}"))
    w.say("code.prints")
    w.line(both(f"```text\n{program.value}\n```"))


def _module(w: Writer, program: Program) -> None:
    """One function of a plain module, with an assertion for its example."""
    source = _source(w, program)
    check = f"\n\n\nassert {program.call} == {program.value!r}"
    w.line(Word(source.ko + check, source.en + check))


def write(w: Writer) -> None:
    """Author and purpose, then programs until the target length is reached; kinds repeat only after all have been
    used."""
    bare = not w.style.title
    opening = w.pair("code.open")
    w.line(Word(f"# {opening.ko}", f"# {opening.en}") if bare else opening)
    order: list[int] = []
    while not order or not w.full:
        left = [k for k in range(len(PROGRAMS)) if k not in order[-(len(PROGRAMS) - 1) :]]
        order.append(w.dice.pick(left))
        words = [word.en for word in w.dice.some(w.lexicon.words["fruit"], 6) if word.en.isalpha()]
        while len(words) < 5:
            words.append(f"{w.dice.pick(words)}s")
        program = PROGRAMS[order[-1]](w.dice, list(dict.fromkeys(words)))
        (_module if bare else _example)(w, program)
