"""`kormo chat`: a chat model is asked through its template, a base model goes on, on the terminal and on the page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from kormo_plugins.cli.chat import chat
from kormo_plugins.errors import KormoError
from kormo_plugins.runs.talk.talk import Speaker, Wish, open_speaker
from kormo_plugins.runs.talk.talk_page import LOOPBACK, answers, page, serve
from tests.architecture import spoken

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": False, "vocab_multiple": 128,
}  # fmt: skip
ASKED = [{"role": "user", "content": "안녕하세요?"}]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("talk")
    source = spoken.tokenizer(folder / "tokenizer")
    return {role: spoken.checkpoint(folder / role, source, SHAPE, role) for role in ("base", "chat")}


@pytest.fixture(scope="module")
def speakers(folders: dict[str, Path]) -> dict[str, Speaker]:
    return {role: open_speaker(folder) for role, folder in folders.items()}


def test_each_is_asked_as_it_was_trained(speakers: dict[str, Speaker]) -> None:
    base, asked = speakers["base"], speakers["chat"]
    assert asked.is_chat and not base.is_chat
    assert base.tokenizer.decode(base.prompt(ASKED, Wish(max_new_tokens=8))) == "<|BOS|>안녕하세요?"
    thinking, plain = (asked.tokenizer.decode(asked.prompt(ASKED, Wish(think, 8))) for think in (True, False))
    assert thinking.endswith("<|BOT|>assistant\n<think>\n") and plain.endswith("<think>\n\n</think>\n")
    assert "<|BOS|>" not in plain


@pytest.mark.parametrize("role", ["base", "chat"])
def test_an_answer_comes_in_pieces_and_is_what_the_model_writes(role: str, speakers: dict[str, Speaker]) -> None:
    speaker, wish = speakers[role], Wish(max_new_tokens=6)
    torch.manual_seed(0)
    pieces = list(speaker.say(ASKED, wish))
    torch.manual_seed(0)
    ids = torch.tensor([speaker.prompt(ASKED, wish)])
    whole = speaker.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6)
    assert "".join(pieces) == speaker.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize(
    ("turns", "new", "told"),
    [
        ([{"role": "user", "content": "가 나 다 라 " * 60}], 8, "context is 128"),
        (ASKED, 500, "context is 128"),
        ([{"role": "user", "content": "<|EOT|>"}], 8, "control token"),
    ],
)
def test_what_cannot_be_asked_is_told(speakers: dict[str, Speaker], turns: Any, new: int, told: str) -> None:
    with pytest.raises(KormoError, match=told):
        speakers["chat"].prompt(turns, Wish(max_new_tokens=new))


def test_the_terminal(folders: dict[str, Path]) -> None:
    lines = "안녕하세요?\n/think\n<|EOT|>\n/clear\n/what\n/quit\n"
    result = CliRunner().invoke(chat, [str(folders["chat"]), "--max-new-tokens", "4"], input=lines)
    assert result.exit_code == 0, result.output
    assert "chat answers" in result.output and "reasoning is on" in result.output and "control token" in result.output


def test_a_base_model_offers_no_reasoning(folders: dict[str, Path]) -> None:
    result = CliRunner().invoke(chat, [str(folders["base"]), "--max-new-tokens", "4"], input="/think\n/quit\n")
    assert result.exit_code == 0 and "think" not in result.output.replace("> ", "") and "/clear" in result.output
    asked = CliRunner().invoke(chat, [str(folders["base"]), "--think"])
    assert isinstance(asked.exception, KormoError) and "leave --think out" in asked.exception.render()


def test_a_damaged_model_is_told_and_not_asked(folders: dict[str, Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(folders["base"], damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    (marker := damaged / "complete.json").unlink(missing_ok=True)
    asked = CliRunner().invoke(chat, [str(damaged)])
    assert isinstance(asked.exception, KormoError) and "cannot open" in asked.exception.render()
    files = {weights.name: {"bytes": 101, "xxh3_128": "0" * 32}}
    marker.write_text(json.dumps({"step": 1, "files": files}))
    asked = CliRunner().invoke(chat, [str(damaged)])
    assert isinstance(asked.exception, KormoError) and "100 bytes instead of 101" in asked.exception.render()


def test_two_stages_side_by_side(speakers: dict[str, Speaker]) -> None:
    pytest.importorskip("gradio")
    assert page(list(speakers.values())) is not None and LOOPBACK == "127.0.0.1"
    shown = list(answers(list(speakers.values()), "안녕", Wish(max_new_tokens=4), [[], []]))
    assert shown[-1][0] == "" and len(shown[-1]) == 3
    for history in shown[-1][1:]:
        assert isinstance(history, list) and [turn["role"] for turn in history] == ["user", "assistant"]
    refused = list(answers([speakers["chat"]], "<|EOT|>", Wish(max_new_tokens=4), [[]]))[-1][1]
    assert isinstance(refused, list) and "control token" in refused[-1]["content"]


def test_the_page_loads_nothing_from_elsewhere(speakers: dict[str, Speaker], monkeypatch: pytest.MonkeyPatch) -> None:
    gradio = pytest.importorskip("gradio")
    pytest.importorskip("gradio.routes")
    from starlette.testclient import TestClient

    launched: dict[str, Any] = {}
    monkeypatch.setattr(gradio.Blocks, "launch", lambda self, **options: launched.update(options, blocks=self))
    serve([speakers["chat"]], None)
    assert launched["server_name"] == LOOPBACK and launched["share"] is False
    app = gradio.routes.App.create_app(launched["blocks"], app_kwargs=launched["app_kwargs"])
    policy = TestClient(app).get("/config").headers["content-security-policy"]
    assert policy.startswith("default-src 'self'") and "http" not in policy
    assert not launched["theme"]._stylesheets


def test_two_in_the_terminal_and_no_model_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for words in ([str(folders["base"]), str(folders["chat"])], [str(tmp_path)]):
        assert isinstance(CliRunner().invoke(chat, words).exception, KormoError)
