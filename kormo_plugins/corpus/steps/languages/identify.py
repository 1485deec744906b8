"""The language of one or many texts, by the compiled pass: scripts first, then words in Latin and Cyrillic letters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from kormo_plugins.corpus.scan.text_scan import utf8_of
from kormo_plugins.corpus.steps.languages import kernel
from kormo_plugins.corpus.steps.languages.letters import SCRIPTS, lowered, marks, scripts
from kormo_plugins.corpus.steps.languages.names import LANGUAGES

WEIGHTS = Path(__file__).with_name("weights.npz")
NAMES = (*LANGUAGES, *(name for name, _ in SCRIPTS), "und", "mul", "ko", "ja", "zh", "zh-Hant")
"""Languages by index of `kernel.languages`. BCP 47; plain `zh` means simplified characters, as by default."""


PRIORS = {"en": 0, "de fr es id vi ru": -0.7, "pt it nl tr pl mn": -1.2, "sv fi cs ro hu uk kk": -2}
"""Prior log-odds of languages in a crawl of Korean pages, relative to English (ours); -3 for unlisted ones."""


@lru_cache(maxsize=1)
def tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scripts, lower-case letters, Han variants, weights and priors, as `kernel.languages` takes them."""
    prior_of = {language: prior for named, prior in PRIORS.items() for language in named.split()}
    priors = np.array([round(prior_of.get(language, -3) * kernel.UNIT) for language in LANGUAGES], dtype=np.int64)
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        return scripts(), lowered(), marks(), kernel.packed(arrays["weights"]), priors


def identify(text: str, minority: float = 0.25) -> str:
    """BCP 47 code of the language of `text`; `mul`: Korean with other languages, `und`: too little text to decide.

    Code, tags and addresses are ignored. Malay is reported as Indonesian, Bosnian and Serbian in Latin letters as
    Croatian; of the languages that share a script, Arabic script is reported as `ar`, Devanagari as `hi`.
    """
    encoded = utf8_of(text)
    return _identify(encoded, np.array([len(encoded)], dtype=np.int64), minority)[0]


def identify_all(texts: Iterable[str], minority: float = 0.25) -> list[str]:
    """`identify` for many texts, with a single call of the compiled part."""
    encoded = list(map(utf8_of, texts))
    return _identify(b"".join(encoded), np.cumsum([len(one) for one in encoded], dtype=np.int64), minority)


def _identify(encoded: bytes, ends: np.ndarray, minority: float) -> list[str]:
    data = np.frombuffer(encoded, dtype=np.uint8)
    return [NAMES[place] for place in kernel.languages(data, ends, *tables(), minority).tolist()]
