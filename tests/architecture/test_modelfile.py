"""The Modelfile's chat template, rendered by Go's own text/template where Go is installed, beside the tokenizer's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kormo_plugins.architecture.gguf_layout.modelfile import CHAT

from . import spoken

GO = """
package main

import (
	"encoding/json"
	"os"
	"text/template"
)

type Turn struct{ Role, Content, Thinking string }

type Case struct {
	Messages          []*Turn
	Think, IsThinkSet bool
}

func main() {
	var asked struct {
		Template string
		Cases    []Case
	}
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		panic(err)
	}
	made := template.Must(template.New("").Option("missingkey=zero").Parse(asked.Template))
	for _, one := range asked.Cases {
		values := map[string]any{"Messages": one.Messages, "Think": one.Think, "IsThinkSet": one.IsThinkSet}
		if err := made.Execute(os.Stdout, values); err != nil {
			panic(err)
		}
		os.Stdout.Write([]byte{0})
	}
}
"""
"""What Ollama's server does with a template: these values, under these names."""

USER, SYSTEM = {"role": "user", "content": "1+1?"}, {"role": "system", "content": "짧게 답한다."}
PLAIN = {"role": "assistant", "content": "2"}
REASONED = {"role": "assistant", "content": "2", "reasoning_content": "하나에\n하나를"}
TOOL = {"role": "tool", "content": '{"sum": 2}'}
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [USER], [SYSTEM, USER], [USER, PLAIN, USER], [SYSTEM, USER, REASONED, USER], [USER, TOOL],
    [USER, PLAIN], [USER, REASONED, TOOL],
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    from kormo_plugins.tokenizer.layout import write_role

    folder = tmp_path_factory.mktemp("modelfile")
    write_role(spoken.tokenizer(folder / "base"), folder / "chat", "chat")
    opened: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder / "chat")
    return opened


@pytest.mark.soak  # compiling takes longer than the rest of the file
@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")
def test_ollama_asks_as_the_tokenizer_does(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text(GO)
    thinking = (None, True, False)
    cases = [
        {
            "Messages": [
                {"Role": turn["role"], "Content": turn["content"], "Thinking": turn.get("reasoning_content", "")}
                for turn in turns
            ],
            "Think": bool(think),
            "IsThinkSet": think is not None,
        }
        for turns in CONVERSATIONS
        for think in thinking
    ]
    done = subprocess.run(
        ["go", "run", "main.go"], cwd=tmp_path, input=json.dumps({"Template": CHAT, "Cases": cases}), text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    rendered = iter(done.stdout.split("\0"))
    for turns in CONVERSATIONS:
        for think in thinking:
            options = {} if think is None else {"enable_thinking": think}
            if think is False and turns[-1] is not USER:  # the tokenizer drops this turn's reasoning then
                next(rendered)
                continue
            expected = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **options)
            assert next(rendered) == expected, (turns, think)


def test_ollama_finds_the_tags_of_reasoning() -> None:
    """It takes the first and the last text of the block in which a turn's `.Thinking` stands."""
    block = re.search(r"\{\{ if \.Thinking \}\}([^{]*)\{\{ \.Thinking \}\}([^{]*)\{\{ else \}\}", CHAT)
    assert block is not None and (block[1].strip(), block[2].strip()) == ("<think>", "</think>")
