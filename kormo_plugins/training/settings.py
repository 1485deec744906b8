"""The settings of the trainer: plain values, already checked, equal on all ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kormo_plugins.training.precision import Precision as Precision


@dataclass(frozen=True)
class Decay:
    """Which parameters besides the matrices have weight decay."""

    norms: bool = False
    embeddings: bool = False
    biases: bool = False


@dataclass(frozen=True)
class Spike:
    """What counts as a spike of the loss; see `training/guards/loss_guard.py`."""

    window: int = 128
    sigmas: float = 6.0
    factor: float = 1.5


@dataclass(frozen=True)
class StopOn:
    """What stops a run."""

    nan: bool = True
    spike: Spike | None = Spike()


@dataclass(frozen=True)
class Settings:
    """Everything that training needs from a recipe.

    Args:
        steps: optimizer steps of the whole run; None: determined by Axolotl's datasets.
        global_batch: rows per optimizer step over all ranks; None likewise.
        sequence_len: tokens per row.
        precision: dtypes, checked against the real tensors after the first step.
        decay: parameters with weight decay.
        objective: name of the training objective, and its parameters.
        special: ids of `bos`, `eos` and `pad` that every saved config must carry.
        generation: generation settings that every saved checkpoint must carry.
        record: hashes and seeds that identify the run; a resume must find them unchanged.
        sources: names of the sources, indexed by the `sources` column of a batch.
        languages: the language of each source.
        stop_on: what stops the run.
        batch: describes the global batch of a step (from 0) as `kormo data batch` does; None: the rows are not ours.
        zero_stage: ZeRO stage of DeepSpeed; None: the recipe does not use it.
        milestone_tokens: tokens between checkpoints that are never removed; None: no milestones.
        pack_pairs: preference pairs go through the model without padding.
        varlen: on a GPU, attention takes document boundaries instead of a mask.
        optimizer: its name in the recipe; ours is created here, others by Axolotl.
        checkpointed_layers: number of layers with gradient checkpointing, if enabled; None: all.
    """

    output_dir: Path
    steps: int | None
    global_batch: int | None
    sequence_len: int
    precision: Precision
    decay: Decay = Decay()
    objective: str = "next_token"
    objective_params: object = None
    special: Mapping[str, int] = field(default_factory=dict)
    generation: Mapping[str, object] = field(default_factory=dict)
    record: Mapping[str, object] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    stop_on: StopOn = StopOn()
    batch: Callable[[int], Mapping[str, object]] | None = None
    zero_stage: int | None = None
    milestone_tokens: int | None = None
    pack_pairs: bool = False
    varlen: bool = False
    checkpointed_layers: int | None = None
    optimizer: str | None = None

    @property
    def tokens_per_step(self) -> int:
        """Tokens of a global batch, padding included; 0 if it is not known."""
        return (self.global_batch or 0) * self.sequence_len if self.steps is not None else 0

    def is_milestone(self, step: int) -> bool:
        """Whether the checkpoint after this step is never removed."""
        every, tokens = self.milestone_tokens, self.tokens_per_step
        if not every or not tokens:
            return False
        return step * tokens // every > (step - 1) * tokens // every
