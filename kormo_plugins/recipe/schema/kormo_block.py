"""The `kormo:` block of a recipe as one frozen object.

Everything that a component owns is checked by that component's own parameter model (through the registry), so the
block is the sum of what the installed plugins accept, not a second list of it. A key that nobody knows is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from kormo_plugins.errors import Faults, KormoError
from kormo_plugins.plugins.choice import Choice, Strict
from kormo_plugins.plugins.registry import Registry, checked

Dtype = Literal["float32", "bfloat16"]
Role = Literal["base", "chat"]


class Precision(Strict):
    """Dtypes of a stage, in the same words in every stage; checked against the real tensors at the first step."""

    weights: Dtype = Field(description="dtype in which the model's parameters are held and saved")
    compute: Literal["float32", "bfloat16", "float8"] = Field(
        description="dtype of matrix products (autocast when it differs from `weights`); float8: those of the layers "
        "by torchao, on a GPU, with torch_compile, all else in bfloat16"
    )

    @property
    def autocast(self) -> Dtype:
        """What is computed in where no product is taken."""
        return "bfloat16" if self.compute == "float8" else self.compute

    master: Dtype | None = Field(
        default=None,
        description="dtype of separate master weights in the optimizer, beside bfloat16 weights; null: there are none",
    )
    optimizer: Dtype = Field(description="dtype of the optimizer's moments")


class TokenizerChoice(Strict):
    """Where the tokenizer comes from: exactly one of the four."""

    train: dict[str, object] | None = Field(
        default=None,
        description="a tokenizer recipe (file or mapping): trained on the corpus, then kept as an artifact",
    )
    path: Path | None = Field(default=None, description="a folder that AutoTokenizer opens")
    hub: str | None = Field(default=None, description="a hub id")
    revision: str | None = Field(default=None, description="a commit of the hub repository; needed with `hub`")
    engine: Literal["auto", "gigatoken", "tiktoken", "tokenizers"] = Field(
        default="auto",
        description="the library that encodes text: the fastest that is proved to give the ids of `tokenizers`, or one "
        "by name, which falls back to the next; ids do not depend on it",
    )

    @model_validator(mode="after")
    def _one(self) -> TokenizerChoice:
        given = [key for key in ("train", "path", "hub") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of train, path and hub (given: {', '.join(given) or 'none'})")
        return self


class Decay(Strict):
    """Which parameters weight decay leaves alone (KORMo: norms and embeddings; lm_head is decayed)."""

    norms: bool = Field(default=False, description="decay RMSNorm weights")
    embeddings: bool = Field(default=False, description="decay input embeddings")
    biases: bool = Field(default=False, description="decay biases")


class Samples(Strict):
    """What is written by the finished model, so that a person sees at once what came out."""

    prompts: tuple[str, ...] = Field(default=("서울은", "The city of"), description="beginnings to continue")
    max_new_tokens: int = Field(default=48, ge=1, description="length of each continuation, in tokens")


class Monitor(Strict):
    """Looking at the model while it trains: at the start, at set steps, and at the end."""

    every_steps: int | None = Field(default=None, ge=1, description="optimizer steps between two looks")
    every_tokens: int | None = Field(
        default=None, ge=1, description="the same in tokens of the run, rounded to whole steps; needs kormo.data"
    )
    held_out: dict[str, object] | None = Field(
        default_factory=dict, description="parameters of the run callback `held_out`; null: off"
    )
    collapse: dict[str, object] | None = Field(
        default_factory=dict, description="parameters of the run callback `collapse`; null: off"
    )
    mini: dict[str, object] | None = Field(
        default_factory=dict, description="parameters of the run callback `mini`; null: off"
    )
    external_eval: dict[str, object] | None = Field(
        default=None,
        description="a dataset recipe (file or mapping) of texts that are only measured: by people, or by generators "
        "that the model was not trained on",
    )

    @model_validator(mode="after")
    def _one_interval(self) -> Monitor:
        if (self.every_steps is None) == (self.every_tokens is None):
            raise ValueError("give exactly one of every_steps and every_tokens")
        return self

    def steps_between(self, tokens_per_step: int | None) -> int:
        """Optimizer steps between two looks, at least 1.

        Args:
            tokens_per_step: of a global batch, padding included; None where the rows are not ours.
        """
        if self.every_steps is not None:
            return self.every_steps
        assert self.every_tokens is not None
        return max(1, round(self.every_tokens / (tokens_per_step or self.every_tokens)))

    def callbacks(self, every_steps: int) -> list[tuple[str, dict[str, object]]]:
        """The run callbacks that this block asks for: name and parameters."""
        asked = (("held_out", self.held_out), ("collapse", self.collapse), ("mini", self.mini))
        return [(name, {"every_steps": every_steps, **values}) for name, values in asked if values is not None]


class Spike(Strict):
    """A loss that is a spike: both conditions hold."""

    window: int = Field(default=128, ge=8, description="steps that a loss is compared with; half of them must be there")
    sigmas: float = Field(default=6.0, gt=0, description="standard deviations above their mean (OLMo-core: 6 over 128)")
    factor: float = Field(default=1.5, gt=1, description="times their mean: what is less is no damage")


class StopOn(Strict):
    """What stops a run, before it reaches a checkpoint."""

    nan: bool = Field(default=True, description="a loss or gradient norm that is NaN or infinite")
    spike: Spike | None = Field(default=Spike(), description="a spike of the loss; null: none stops the run")


class Evaluate(Strict):
    """What the finished model is scored on: `kormo eval` of the run's folder, by rank 0, when the stage is finished."""

    suites: tuple[str, ...] = Field(default=(), description="suites of tasks; `mini` needs no data")
    tasks: tuple[str, ...] = Field(default=(), description="further tasks by their names in lm-evaluation-harness")
    limit: int | None = Field(default=None, ge=1, description="items per task; null: all of them")
    data: Path | None = Field(default=None, description="folder of the datasets; null: the hub, or its local cache")


class KormoBlock(Strict):
    """The whole `kormo:` block."""

    plugins: tuple[str, ...] = Field(
        default=(), description="modules of further plugins, imported before anything else"
    )
    architecture: Choice | None = Field(
        default=None, description="model family and every size; null: the base model's own"
    )
    tokenizer: TokenizerChoice | None = Field(default=None, description="the tokenizer; null: the base model's own")
    role: Role = Field(
        default="base",
        description="what the model ends with: a base model its text (<|EOS|>), a chat model its turn (<|EOT|>)",
    )
    data: dict[str, object] | None = Field(
        default=None, description="a dataset recipe: file, or mapping that may `extends`"
    )
    collator: Choice = Field(default=Choice(name="document_mask"), description="how rows become a batch")
    objective: Choice = Field(default=Choice(name="next_token"), description="what the model is trained to do")
    kernels: tuple[Choice, ...] = Field(default=(), description="fused kernels, applied in this order")
    callbacks: tuple[Choice, ...] = Field(default=(), description="watchers of the run")
    monitor: Monitor | None = Field(
        default=None, description="held-out loss and collapse monitors while it trains; null: none"
    )
    global_batch: int | None = Field(
        default=None, ge=1, description="rows per optimizer step over all ranks; accumulation is derived from it"
    )
    tokens: int | None = Field(
        default=None,
        ge=1,
        description="length of the run in tokens; steps = ceil(tokens / (global_batch × sequence_len))",
    )
    milestones: int | None = Field(
        default=None, ge=1, description="tokens between checkpoints that are kept for good, beside the rolling ones"
    )
    pack_pairs: bool = Field(
        default=False,
        description="preference pairs without padding: texts share rows and are kept apart, logits of answers alone",
    )
    checkpointed_layers: int | None = Field(
        default=None,
        ge=1,
        description="with gradient_checkpointing, how many layers compute their activations twice (the first ones); "
        "null: all. `kormo recipe plan` says how many are enough",
    )
    from_run: Path | None = Field(
        default=None, description="output folder of the stage before, whose model this one goes on with"
    )
    precision: Precision = Field(description="dtypes of weights, compute, master weights and optimizer state")
    decay: Decay = Field(default=Decay(), description="parameters that weight decay reaches")
    stop_on: StopOn = Field(default=StopOn(), description="what stops the run and names the batch's documents")
    generation: dict[str, object] = Field(
        default_factory=dict, description="generation settings saved with every checkpoint"
    )
    samples: Samples | None = Field(default=Samples(), description="continuations printed at the end; null: none")
    evaluate: Evaluate | None = Field(default=None, description="what the finished model is scored on; null: nothing")
    workspace: Path = Field(default=Path("artifacts"), description="folder of all artifacts")
    report: bool = Field(default=True, description="write `report.html` into the run's folder at the end")
    export: bool = Field(
        default=True, description="write `export/`, the plain Llama layout, when the stage is finished"
    )
    allow_changed: tuple[str, ...] = Field(
        default=(), description="differences that a resume accepts: data, tokenizer, weights, seed"
    )


def parse_block(block: dict[str, object], registry: Registry, where: str) -> KormoBlock:
    """The `kormo:` mapping of a resolved recipe as an object; every component's parameters are checked too.

    Args:
        block: the mapping, `extends` already resolved.
        registry: the components that may be named.
        where: the recipe's path, for messages.
    Raises:
        KormoError: an unknown key or component, a missing value, or one of the wrong kind.
    """
    if not isinstance(block, dict):
        raise KormoError(
            where=f"{where}: kormo",
            found=repr(block),
            why="the kormo block is a mapping",
            do="write `kormo:` with keys below it",
        )
    faults = Faults()
    parsed: KormoBlock | None = None
    with faults.catch():
        parsed = checked(KormoBlock, block, f"{where}: kormo")
    for key, kind, choice in _choices(block):
        values = {name: value for name, value in choice.items() if name != "name"}
        with faults.catch():
            registry.params(kind, choice["name"], values, f"{where}: kormo.{key}")
    if parsed is not None and parsed.monitor is not None:
        for name, values in parsed.monitor.callbacks(every_steps=1):
            with faults.catch():
                registry.params("run_callback", name, values, f"{where}: kormo.monitor.{name}")
    faults.raise_any()
    assert isinstance(parsed, KormoBlock)
    return parsed


def _choices(block: Mapping[str, object]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every component that a block names, as far as it is well formed: key, kind, and what was written."""
    defaults = {"collator": {"name": "document_mask"}, "objective": {"name": "next_token"}}
    for key in ("architecture", "collator", "objective"):
        choice = block.get(key, defaults.get(key))
        if isinstance(choice, Mapping) and isinstance(choice.get("name"), str):
            yield key, key, dict(choice)
    for key, kind in (("kernels", "kernel"), ("callbacks", "run_callback")):
        listed = block.get(key)
        for index, choice in enumerate(listed if isinstance(listed, (list, tuple)) else ()):
            if isinstance(choice, Mapping) and isinstance(choice.get("name"), str):
                yield f"{key}[{index}]", kind, dict(choice)
