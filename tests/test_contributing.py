"""CONTRIBUTING's snippets, one for each kind of component: registered as they stand, and used once."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kormo_plugins import testing
from kormo_plugins.cli.main import cli
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.hookspecs import KINDS
from kormo_plugins.plugins.registry import Registry

from .integration.conftest import RECIPE

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.S)
BY_HOOK = {hook: code for code in SNIPPETS for hook in re.findall(r"def (kormo_\w+)\(", code)}
TASK = next(block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.S) if block.startswith("task:"))
TASK_CODE = next(code for code in SNIPPETS if "@hookimpl" not in code)
"""The parts of the evaluation task: its YAML file, and the module that this names."""
LONGEST = 28
"""Lines of code of a snippet, blank ones apart: a stranger reads it in a minute."""


def write_plugins(folder: Path) -> list[str]:
    """Every snippet as a module in `folder`; their names."""
    for hook, code in BY_HOOK.items():
        (folder / f"contributed_{hook}.py").write_text(code, encoding="utf-8")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "capitals.yaml").write_text(TASK, encoding="utf-8")
    (folder / "tasks" / "capitals.py").write_text(TASK_CODE, encoding="utf-8")
    return [f"contributed_{hook}" for hook in BY_HOOK]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The snippets, importable."""
    folder = tmp_path_factory.mktemp("contributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield write_plugins(folder)
    for name in [name for name in sys.modules if name.startswith("contributed_")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def found(plugins: list[str]) -> Registry:
    return Registry(plugins)


def made(found: Registry, kind: str, **values: Any) -> tuple[Any, Any]:
    """The one component of a kind that the snippets add, and its parameters."""
    (entry,) = (e for e in found.entries() if e.kind == kind and e.module.startswith("contributed_"))
    return found.load(kind, entry.component.name), found.params(kind, entry.component.name, values)


def test_there_is_a_short_snippet_for_each_kind() -> None:
    assert set(BY_HOOK) == set(KINDS.values())
    assert len(SNIPPETS) == len(KINDS) + 1
    for hook, code in BY_HOOK.items():
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= LONGEST + 5 * (hook == "kormo_architectures"), (hook, len(lines))
        assert not re.search(r"^(from|import) (torch|transformers|axolotl)", code, re.M), f"{hook}: slow to list"


def test_each_is_shown_by_the_command(plugins: list[str], found: Registry) -> None:
    words = [word for name in plugins for word in ("--plugin", name)]
    for entry in (e for e in found.entries() if e.module.startswith("contributed_")):
        shown = CliRunner().invoke(cli, ["plugins", "show", entry.component.name, "--kind", entry.kind, *words])
        assert shown.exit_code == 0 and entry.component.summary in shown.stdout, shown.output
        for name, field in (entry.component.params.model_fields if entry.component.params else {}).items():  # type: ignore[union-attr]
            assert field.description and name in shown.stdout


def test_the_reader(found: Registry, tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("하나\ntwo\n셋\n")
    read, params = made(found, "reader", path=str(path))
    assert [d.text for d in read(params, 0, 1)] == ["하나", "two", "셋"]
    assert sorted(d.id for part in range(2) for d in read(params, part, 2)) == ["0", "1", "2"]
    before = read.inputs(params)
    path.write_text("하나\n")
    assert read.inputs(params) != before


def test_the_generator(found: Registry) -> None:
    write, params = made(found, "generator", documents=10)
    whole = list(write(params, 0, 1))
    assert whole == sorted((d for part in range(3) for d in write(params, part, 3)), key=lambda d: int(d.id[8:]))
    assert len({d.text for d in whole}) == 10 and all(d.synthetic and d.generator for d in whole)


def test_the_corpus_step(found: Registry, plugins: list[str]) -> None:
    testing.check_step("few_digits", plugins=plugins)
    make, params = made(found, "corpus_step", max_share=0.5)
    assert make(params)(Document("1", "12345 a")) == Reject("mostly digits")
    assert make(params)(Document("2", "열두 개")).text == "열두 개"


def test_the_packing_and_the_mixing(plugins: list[str]) -> None:
    testing.check_packing("next_fit", plugins=plugins)
    testing.check_mixing("in_turn", plugins=plugins)


def test_the_collator(found: Registry) -> None:
    from kormo_plugins.mixture.dataset import SampleRows

    make, params = made(found, "collator", first=3)
    places = np.array([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]])
    ids = np.arange(10)[None]
    batch = make(params)(SampleRows(ids, places, np.array([10]), np.array([0])))
    assert batch["labels"].tolist() == [[-100, -100, -100, 3, 4, -100, -100, -100, 8, 9]]
    assert batch["position_ids"].tolist() == places.tolist()


def test_the_kernel(found: Registry) -> None:
    import torch

    kernel, params = made(found, "kernel")
    assert kernel("kormo", params).startswith("kernels: ") and torch.get_float32_matmul_precision() == "high"
    kernel.release()
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_objective(found: Registry) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=20, **sizes))
    ids = torch.randint(20, (2, 6))
    labels = ids.clone()
    labels[:, :2] = -100
    inputs = {"input_ids": ids, "labels": labels}
    loss, params = made(found, "objective", weight=0.5)
    logits = model(input_ids=ids).logits[:, 1:-1].reshape(-1, 20)  # the places whose next token is predicted
    wanted = torch.nn.functional.cross_entropy(logits, ids[:, 2:].reshape(-1), reduction="sum")
    wanted = (wanted + 0.5 * logits.logsumexp(-1).square().sum()) / 8
    assert loss(model, inputs, torch.tensor(8), params)[0].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert loss(model, inputs, None, params)[0].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_run_callback(found: Registry, tmp_path: Path) -> None:
    from kormo_plugins.monitoring.monitor import RunView

    make, params = made(found, "run_callback")
    logged: list[dict[str, float]] = []
    watcher = make(params)
    watcher.open(RunView(tmp_path, None, log=logged.append))
    for step in (1, 2, 3, 4):
        watcher.on_step_end(types.SimpleNamespace(logging_steps=2), types.SimpleNamespace(global_step=step), None)
    assert len(logged) == 2 and logged[0]["disk/free_gb"] > 0


def test_the_evaluation_task(found: Registry) -> None:
    from kormo_plugins.evaluation.catalogue import Catalogue

    folder, _ = made(found, "evaluation_task")
    assert Catalogue([folder()]).find("capitals", "here").single


def test_the_tokenizer_and_the_architecture(found: Registry, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from kormo_plugins.tokenizer.layout import read_layout

    train, params = made(found, "tokenizer", vocab_size=300)
    text = "서울은 대한민국의 수도이다. The river runs."
    train(lambda: iter([Document("1", text * 20)]), params, tmp_path / "words")
    words = AutoTokenizer.from_pretrained(tmp_path / "words")
    assert words.decode(words(text)["input_ids"]) == text
    layout = read_layout(tmp_path / "words")
    assert len(words) == 300 and layout.size == 300

    family, shape = made(
        found, "architecture", **{k: v for k, v in RECIPE["kormo"]["architecture"].items() if k != "name"}
    )
    family.register()
    ids = {"bos_token_id": layout.bos, "eos_token_id": layout.eos, "pad_token_id": layout.pad}
    stats = family.write_initial(
        tmp_path / "init", shape, tokenizer=tmp_path / "words", seed=1, dtype="float32",
        generation={"do_sample": True}, **ids,
    )  # fmt: skip
    exported = family.export_llama(tmp_path / "init", tmp_path / "out")
    assert {"files", "bytes", "compared"} <= set(exported)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.num_parameters() == stats["parameters"] and model.config.eos_token_id == layout.eos
