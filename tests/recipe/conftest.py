"""What the tests of recipes share: a sound recipe, and a cache of Axolotl's schema that is filled once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for kormo_recipe_stub, the plugin that the recipes name

SOUND = """\
plugins: [kormo_plugins.KormoPlugin]
sequence_len: 128
micro_batch_size: 2
learning_rate: 3e-4
optimizer: adamw_torch
lr_scheduler: cosine
output_dir: out
datasets:
  - path: some/folder
    type: chat_template
kormo:
  plugins: [kormo_recipe_stub]
  architecture: {name: stub_model, size: 3}
  tokenizer:
    train: {name: stub_tokenizer}
  collator: {name: stub_rows}
  objective: {name: stub_loss}
  kernels: [{name: stub_kernel}]
  callbacks: [{name: stub_watcher}]
  global_batch: 4
  precision: {weights: float32, compute: bfloat16, optimizer: float32}
"""

DATA = """\
name: words
sources:
  ko: {language: ko, license: CC0-1.0, reader: {name: stub_reader, size: 2}}
  en: {language: en, license: CC0-1.0, generator: {name: stub_generator}, synthetic: true, steps: [{name: stub_step}]}
steps: [{name: stub_step, size: 4}]
packing: {name: stub_packing}
mixture: {name: stub_mixing, weights: {ko: 3, en: 1}}
"""

Write = Callable[[str], Path]


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the session, so that Axolotl is read once and nothing of the user's cache is used."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("HF_HUB_OFFLINE", "1")
    patch.setenv("AXOLOTL_DO_NOT_TRACK", "1")
    yield
    patch.undo()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the files of one text, divided by lines `#: name`, and returns `recipe.yml`, in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        name, files = "recipe.yml", {"sound.yml": SOUND, "data.yml": DATA}
        files[name] = ""
        for line in text.splitlines(keepends=True):
            if line.startswith("#: "):
                name = line[3:].strip()
                files[name] = ""
            else:
                files[name] += line
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("utf-8", "surrogateescape"))
        return Path("recipe.yml")

    return write
