"""The files that `kormo init` writes: a recipe, a dataset recipe, a chain, a README and a .gitignore.

They inherit everything from the recipes of the package (`kormo:…`) and contain only what is specific to the lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SIZES = ("nano", "1b", "10b")
MODELINE = "# yaml-language-server: $schema=.kormo/{kind}.schema.json\n"


@dataclass(frozen=True)
class Start:
    """The options of `kormo init`.

    Args:
        name: of the model, for folders.
        size: one of `SIZES`.
        text: folder of documents; None: the embedded corpus.
        languages: BCP 47 codes of the languages to keep, if `text` is given.
    """

    name: str
    size: str = "nano"
    text: str | None = None
    languages: tuple[str, ...] = ("ko", "en")

    @property
    def prefix(self) -> str:
        """Prefix of the shipped recipes of this size."""
        return "kormo:" if self.size == "nano" else f"kormo:{self.size}/"


def files(start: Start) -> Mapping[str, str]:
    """Name -> content of each file."""
    return {
        "recipe.yml": _recipe(start),
        "dataset.yml": _dataset(start),
        "chain.yml": _chain(start),
        "README.md": _readme(start),
        ".gitignore": "artifacts/\noutputs/\n.kormo/\n*.log\n__pycache__/\n",
    }


def _recipe(start: Start) -> str:
    nano = start.size == "nano"
    tokens = "  tokens: 655360               # 160 steps of 4,096; more text, more tokens\n" if nano else ""
    return (
        MODELINE.format(kind="recipe") + f"# {start.name}: pretraining from random weights.\n#\n"
        "#     axolotl train recipe.yml\n\n"
        f"extends: {start.prefix}pretrain.yml    # `kormo recipe show recipe.yml` prints all that it inherits\n"
        "plugins:\n  - kormo_plugins.KormoPlugin\n\n"
        f"kormo:\n  data: dataset.yml\n{tokens}\noutput_dir: outputs/{start.name}\n"
    )


def _dataset(start: Start) -> str:
    head = MODELINE.format(kind="data")
    if start.text is None:
        return head + (
            "# The embedded corpus, generated Korean and English. For your own text: `kormo init --text FOLDER`, or\n"
            "# name sources here as in kormo:datasets_recipes/local.yml.\n\n"
            f"extends: kormo:datasets_recipes/embedded.yml\nname: {start.name}\n\n"
            "steps:\n  - name: normalize\n  - {name: length, minimum: 20}\n  - name: exact_dedup\n"
        )
    keep = ", ".join([*start.languages, "mul"])
    return head + (
        "# Every JSON, CSV, Parquet, Arrow and text file below a folder; of rows the column `text` is read.\n"
        "# `kormo data peek FOLDER` shows other columns and encodings, `kormo data build dataset.yml` builds it.\n\n"
        f"extends: kormo:datasets_recipes/local.yml\nname: {start.name}\n\n"
        "sources:\n  local:\n    license: unknown           # say what you know: it is kept on every document\n"
        f"    reader: {{name: folder, path: {_quoted(start.text)}, columns: {{text: text}}}}\n\n"
        "steps:\n  - name: normalize\n  - {name: length, minimum: 20}\n"
        f"  - {{name: language, keep: [{keep}]}}\n  - name: exact_dedup\n"
    )


def _chain(start: Start) -> str:
    out = f"outputs/{start.name}-sft"
    answers = f"{{name: sft, recipe: '{start.prefix}sft.yml', from: pretrain, set: {{output_dir: {out}}}}}"
    return MODELINE.format(kind="chain") + (
        f"# {start.name}, from random weights to a chat model.\n#\n#     kormo run chain.yml --dry-run\n\n"
        f"name: {start.name}\nstages:\n  - {{name: pretrain, recipe: recipe.yml}}\n  - {answers}\n"
    )


def _readme(start: Start) -> str:
    return f"""# {start.name}

A language model trained with [kormo-plugins](https://pypi.org/project/kormo-plugins/) and Axolotl.

| file | what it is |
|---|---|
| `recipe.yml` | pretraining; inherits from a recipe that comes with the package |
| `dataset.yml` | the documents, how they are cleaned and mixed |
| `chain.yml` | the stages, from random weights to a chat model |

    kormo recipe validate recipe.yml
    axolotl train recipe.yml
    kormo run chain.yml
    kormo chat outputs/{start.name}
"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
