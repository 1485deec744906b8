"""Trains the weights that separate languages in Latin and Cyrillic letters.

    python -m kormo_plugins.corpus.steps.languages.train CATALOGUES weights.npz

Training examples are short runs of words from message catalogues: `CATALOGUES` is a folder with those of Django
(`django/**/LC_MESSAGES/*.po`) and of JupyterLab's language packs (`**/LC_MESSAGES/*.json`), both BSD-3-Clause, and
spaCy's stop word lists (`spacy/lang/*/stop_words.py`, MIT). English examples are the catalogues' originals and the
docstrings of Python's standard library. The packaged weights were trained on Django 5.2.19, language packs 4.5.post3,
spaCy 3.8 and Python 3.11. The model is a softmax over sums of rows (single-layer fastText, Joulin et al. 2016, arXiv
1607.01759), quantized to eight bits.
"""

from __future__ import annotations

import ast
import json
import random
import re
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kormo_plugins.corpus.steps.languages import kernel
from kormo_plugins.corpus.steps.languages.letters import lowered, scripts
from kormo_plugins.corpus.steps.languages.names import LANGUAGES

FOLDED = {"nb": "no", "nn": "no", "bs": "hr", "pt_BR": "pt", "es_MX": "es", "es_AR": "es", "no_NO": "no"}
"""Catalogue name of a language variant -> the code it is trained as."""
EXAMPLES, EPOCHS, SEED = 12_000, 4, 0
"""Examples per language, epochs, and the seed of both."""
_SLOT = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{[^}]*\}|<[^>]*>|https?://\S+|``[^`]*``|`[^`]*`|[%&_]")
_PO = re.compile(r'^(msgid|msgid_plural|msgstr(?:\[\d\])?|msgctxt)\s+(".*")$')


def messages(file: Path) -> Iterator[tuple[bool, str]]:
    """(whether it is an original, text) for each message of a gettext catalogue or a JupyterLab pack."""
    if file.suffix == ".json":
        for key, values in json.loads(file.read_text(encoding="utf-8")).items():
            if key:
                yield True, key.split("\x04")[-1]
                yield from ((False, value) for value in values if value and value != key)
        return
    key, text = "", ""
    for line in [*file.read_text(encoding="utf-8").splitlines(), 'msgid ""']:
        if begun := _PO.match(line):
            if text and key != "msgctxt" and not text.startswith("Project-Id"):
                yield key.startswith("msgid"), text
            key, text = begun[1], ast.literal_eval(begun[2])
        elif line.startswith('"'):
            text += ast.literal_eval(line)


def collect(folder: Path) -> dict[str, list[list[str]]]:
    """Sentences of each language, as words."""
    texts_of: dict[str, set[str]] = defaultdict(set)
    for file in sorted([*folder.glob("**/LC_MESSAGES/*.po"), *folder.rglob("LC_MESSAGES/*.json")]):
        name = file.parts[-3]
        language = FOLDED.get(name, name.split("_")[0] if name not in ("sr_Latn",) else "hr")
        if language in LANGUAGES:
            for original, text in messages(file):
                texts_of["en" if original else language].add(" ".join(_SLOT.sub(" ", text).split()))
    for file in sorted(folder.rglob("lang/*/stop_words.py")):
        language = FOLDED.get(file.parts[-2], file.parts[-2])
        if language in LANGUAGES:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.startswith("http"):
                    texts_of[language].add(" ".join(node.value.split()))
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("[a-z]*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and (docstring := ast.get_docstring(node)):
                texts_of["en"].update(" ".join(_SLOT.sub(" ", part).split()) for part in docstring.split("\n\n"))
    return {language: [text.split() for text in sorted(texts) if text] for language, texts in texts_of.items()}


def examples(sentences: list[list[str]], dice: random.Random) -> Iterator[str]:
    """Runs of a few words from random positions in sentences; all run lengths are equally likely."""
    sizes = [min(len(words), 12) for words in sentences]
    for words in dice.choices(sentences, sizes, k=EXAMPLES):
        size = dice.choice((1, 2, 3, 4, 6, 8, 12))
        start = dice.randrange(max(1, len(words) - size + 1))
        yield " ".join(words[start : start + size])


def main(folder: Path, out: Path) -> None:
    """Trains on the catalogues in `folder` and writes `out`."""
    import torch

    torch.manual_seed(SEED)
    dice = random.Random(SEED)
    examples_of: list[tuple[np.ndarray, int]] = []
    for language, sentences in sorted(collect(folder).items()):
        print(f"{language}: {len(sentences):,} messages, {sum(map(len, sentences)):,} words", file=sys.stderr)
        for text in examples(sentences, dice):
            rows = kernel.rows(np.frombuffer(text.encode(), dtype=np.uint8), scripts(), lowered())
            if len(rows):
                examples_of.append((rows, LANGUAGES.index(language)))
    table = torch.nn.EmbeddingBag(1 << kernel.BUCKET_BITS, kernel.LANES, mode="sum")
    torch.nn.init.zeros_(table.weight)
    optimizer = torch.optim.Adam(table.parameters(), lr=0.02)
    total, batch = EPOCHS * (len(examples_of) // 1024), 1024
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total)
    for epoch in range(EPOCHS):
        dice.shuffle(examples_of)
        losses = []
        for first in range(0, len(examples_of) - batch + 1, batch):
            part = examples_of[first : first + batch]
            bounds = torch.tensor(np.cumsum([0, *(len(rows) for rows, _ in part[:-1])]))
            sums = table(torch.tensor(np.concatenate([rows for rows, _ in part])), bounds)
            loss = torch.nn.functional.cross_entropy(sums, torch.tensor([language for _, language in part]))
            (loss + 2e-6 * table.weight.square().sum()).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch}: loss {np.mean(losses):.4f}", file=sys.stderr)
    weights = table.weight.detach().numpy()
    weights -= weights.mean(axis=1, keepdims=True)
    np.savez_compressed(out, weights=np.clip(np.round(weights * kernel.UNIT), -127, 127).astype(np.int8))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
