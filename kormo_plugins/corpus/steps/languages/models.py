"""Language identification by external models: a fastText model named by the user, and the package eldc.

eldc (Apache-2.0) counts n-grams of 60 languages, none of which is in `OURS_ALONE`. fastText models are read by the
package fasttext (MIT).
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from kormo_plugins.corpus.steps.languages.names import LANGUAGES
from kormo_plugins.errors import KormoError

_PAIRS = (
    "kor:ko eng:en jpn:ja cmn:zh zho:zh yue:zh deu:de fra:fr spa:es por:pt ita:it nld:nl ind:id vie:vi tur:tr pol:pl "
    "swe:sv rus:ru ell:el arb:ar ara:ar hin:hi tha:th ukr:uk ces:cs khk:mn mon:mn kaz:kk kir:ky bel:be bul:bg srp:sr "
    "dan:da nob:no nno:no fin:fi ron:ro hun:hu cat:ca hrv:hr slk:sk lit:lt slv:sl ekk:et est:et heb:he ben:bn tam:ta "
    "mya:my khm:km lao:lo kat:ka hye:hy amh:am zsm:ms msa:ms uzn:uz fil:tl tgl:tl"
)
TWO_LETTERS: dict[str, str] = dict(pair.split(":") for pair in _PAIRS.split())
"""ISO 639-3 (labels of GlotLID, OpenLID and NLLB, `kor_Hang`) -> the codes used in recipes."""
OURS_ALONE = ("id", "mn", "kk", "ky")
"""Languages that eldc does not know; for these the built-in result is used."""


def code_of(label: str) -> str:
    """The language code for a model's label: `__label__ko`, `__label__kor_Hang`, `__label__zho_Hant`."""
    name, _, script = label.removeprefix("__label__").partition("_")
    code = TWO_LETTERS.get(name, name)
    return "zh-Hant" if code == "zh" and script == "Hant" else code


def by_fasttext(text: str, path: Path) -> str:
    """The language of `text` by the fastText model at `path`; `und` if it returns none."""
    # Uses the pybind object of the fasttext wrapper: the wrapper's predict fails on numpy 2.
    predictions = _load(path).f.predict(" ".join(text.split()) + "\n", 1, 0.0, "strict")
    return code_of(str(predictions[0][1])) if predictions else "und"


@lru_cache(maxsize=1)
def _load(path: Path) -> Any:
    return _package("fasttext", "model", "fasttext").load_model(str(path))


def by_eldc(text: str, found: str) -> str:
    """eldc's answer if the built-in one, `found`, was decided by words and not by scripts."""
    if found in OURS_ALONE or (found not in LANGUAGES and found != "und"):
        return found
    detected = str(_eldc().detect(text))
    return "id" if detected == "ms" else found if detected == "und" else detected


@lru_cache(maxsize=1)
def _eldc() -> ModuleType:
    package = _package("eldc", "engine", "eldc")
    package.init()
    return package


def eldc_version() -> str:
    """Version of the package eldc, which determines its results."""
    _package("eldc", "engine", "eldc")
    return metadata.version("eldc")


def _package(name: str, key: str, install: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError:
        raise KormoError(
            where=f"step language: {key}",
            found=f"the package {name} is not installed",
            why="the step detects the language with it",
            do=f"pip install {install}, or remove `{key}` to use the built-in rules",
        ) from None
