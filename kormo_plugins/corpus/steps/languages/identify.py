"""The language of a text, or of many, by the compiled pass: scripts first, then the words of Latin and Cyrillic."""

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
"""What `kernel.languages` gives the place of. BCP 47; `zh` alone is written in simplified characters, as by default."""


PRIORS = {"en": 0, "de fr es id vi ru": -0.7, "pt it nl tr pl mn": -1.2, "sv fi cs ro hu uk kk": -2}
"""How seldom a language is met in a crawl of Korean pages, beside English, in logits (ours); what is not named, -3."""


@lru_cache(maxsize=1)
def tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scripts, small letters, marks of Han characters, weights and priors, as `kernel.languages` takes them."""
    told = {language: prior for named, prior in PRIORS.items() for language in named.split()}
    priors = np.array([round(told.get(language, -3) * kernel.UNIT) for language in LANGUAGES], dtype=np.int64)
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        return scripts(), lowered(), marks(), kernel.packed(arrays["weights"]), priors


def identify(text: str, minority: float = 0.25) -> str:
    """BCP 47 code of the language of `text`; `mul`: Korean among others, `und`: too little to tell.

    What is code, a tag or an address is not looked at. Malay is told as Indonesian, Bosnian and Serbian in Latin
    letters as Croatian; of the scripts that several languages share, Arabic is told as `ar`, Devanagari as `hi`.
    """
    encoded = utf8_of(text)
    return _identify(encoded, np.array([len(encoded)], dtype=np.int64), minority)[0]


def identify_all(texts: Iterable[str], minority: float = 0.25) -> list[str]:
    """`identify` of each text, with one call of the compiled part for all."""
    encoded = list(map(utf8_of, texts))
    return _identify(b"".join(encoded), np.cumsum([len(one) for one in encoded], dtype=np.int64), minority)


def _identify(encoded: bytes, ends: np.ndarray, minority: float) -> list[str]:
    data = np.frombuffer(encoded, dtype=np.uint8)
    return [NAMES[place] for place in kernel.languages(data, ends, *tables(), minority).tolist()]
