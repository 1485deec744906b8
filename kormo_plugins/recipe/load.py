"""A checked recipe with the plans of what is built and run from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins.recipe.checked import CheckedRecipe, check_recipe
from kormo_plugins.recipe.checked import warnings_of as warnings_of
from kormo_plugins.recipe.checks.devices.context_parallel import shared_rows
from kormo_plugins.recipe.checks.devices.deepspeed import deepspeed_config
from kormo_plugins.recipe.files.resolve import dotted
from kormo_plugins.recipe.projections import (
    AttentionPlan,
    AxolotlPlan,
    BuildPlan,
    CorpusPlan,
    EarlierRun,
    IdentityPlan,
    JobPlan,
    KernelPlan,
    ModelPlan,
    PairPlan,
    Places,
    RowPlan,
    RunPlan,
    StreamPlan,
    TokenizerPlan,
)
from kormo_plugins.recipe.schema.dataset import DataRecipe


@dataclass(frozen=True)
class Recipe(CheckedRecipe):
    """A checked recipe, and its parts for each step of the pipeline (`projections.py`)."""

    @classmethod
    def of(cls, checked: CheckedRecipe) -> Recipe:
        """The same recipe with its plans."""
        return cls(**vars(checked))

    @property
    def earlier_run(self) -> EarlierRun | None:
        """The stage that this one continues."""
        folder, architecture = self.block.from_run, self.block.architecture
        if folder is None:
            return None
        below = tuple(f"kormo.architecture.{key}" for key in ("name", *(architecture.values if architecture else ())))
        where = self._places("kormo.from_run", "kormo.architecture", "kormo.tokenizer", *below)
        return EarlierRun(folder, architecture, where, self.registry)

    def _places(self, *keys: str) -> Places:
        return Places(self.path, {key: self.resolved.where(key) for key in keys})

    def build_plan(self) -> BuildPlan:
        """Everything that is built before training."""
        return BuildPlan(
            self.path,
            self._corpus_plan(self.data),
            self._corpus_plan(self.external_eval),
            self.tokenizer_plan(),
            self.row_plan() if self.data is not None and not self.of_pairs else None,
            self.pair_plan() if self.of_pairs else None,
            self.model_plan(),
        )

    def _corpus_plan(self, data: DataRecipe | None) -> CorpusPlan | None:
        return CorpusPlan(self.path, self.block.workspace, self.registry, data.corpus) if data is not None else None

    def corpus_plan(self) -> CorpusPlan:
        """The documents that the run is trained on; the recipe has `kormo.data`."""
        plan = self._corpus_plan(self.data)
        assert plan is not None
        return plan

    def tokenizer_plan(self) -> TokenizerPlan:
        """The tokenizer of the run."""
        block, train = self.block, "kormo.tokenizer.train"
        trained = (block.tokenizer and block.tokenizer.train) or {}
        files = {key: self.resolved.origin(f"{train}.{key}") for key in trained}
        return TokenizerPlan(
            self.path, block.workspace, self.registry, block.tokenizer, block.role, self.earlier_run, files
        )

    def row_plan(self) -> RowPlan:
        """How documents become rows; the recipe has `kormo.data`."""
        assert self.data is not None
        return RowPlan(
            self.path,
            self.block.workspace,
            self.registry,
            self.data.corpus,
            self.data.mixture,
            self.sequence_len,
            self.resolved.where("kormo.role") if self.block.role == "base" else None,
            self.block.tokenizer.engine if self.block.tokenizer else "auto",
        )

    def pair_plan(self) -> PairPlan:
        """How documents become preference pairs; the recipe has `kormo.data`."""
        assert self.data is not None
        return PairPlan(self.block.workspace, tuple(self.data.corpus.sources), self.sequence_len)

    def model_plan(self) -> ModelPlan:
        """The weights that training starts from."""
        block = self.block
        return ModelPlan(
            self.path,
            block.workspace,
            self.registry,
            block.architecture,
            self.earlier_run,
            block.role,
            self.seed,
            block.precision.weights,
            block.generation,
        )

    def stream_plan(self) -> StreamPlan:
        """Which row is read when; the recipe has `kormo.data`, a length and a global batch."""
        assert self.data is not None and self.steps is not None and self.block.global_batch is not None
        return StreamPlan(
            self.registry,
            self.data.mixture,
            self.seed,
            self.sequence_len,
            self.steps,
            self.block.global_batch,
            self.block.role,
            self.of_pairs,
        )

    def axolotl_plan(self) -> AxolotlPlan:
        """The settings that are translated to Axolotl keys."""
        block, shared = self.block, shared_rows(self.resolved)
        schedule = self.get("lr_scheduler_kwargs")
        return AxolotlPlan(
            precision=block.precision,
            deepspeed=deepspeed_config(self.resolved),
            adapters=bool(self.get("adapter")),
            names_model=self.get("base_model") is not None,
            goes_on=block.from_run is not None,
            global_batch=block.global_batch,
            micro_batch=int(self.get("micro_batch_size", 1)),
            shared=shared,
            where_shared=self.resolved.where(shared.key),
            schedule=None if schedule is None else {k: v for k, v in schedule.items() if v is not None},
            measures_tokens=self.get("include_tkps") is not None,
            workspace=block.workspace,
            data=self.data is not None,
            pairs=self.of_pairs,
            steps=self.steps,
        )

    def attention_plan(self) -> AttentionPlan | None:
        """How the documents of a row are kept apart; None if the rows are not ours."""
        if self.data is None or self.of_pairs:
            return None
        choice = self.block.collator
        return AttentionPlan(
            collator=choice.name,
            params=self.registry.params("collator", choice.name, choice.values),
            backend=str(self.get("attn_implementation", "sdpa")),
            micro_batch=int(self.get("micro_batch_size", 1)),
            shared=shared_rows(self.resolved),
            packing=str(self.data.mixture.packing["name"]),
            row_length=self.sequence_len,
            varlen=bool(self.get("sdpa_varlen")),
            compute=self.block.precision.autocast,
        )

    def kernel_plan(self) -> KernelPlan:
        """The kernels of the run."""
        where = self.resolved.where
        choices = tuple((where(f"kormo.kernels[{n}]"), choice) for n, choice in enumerate(self.block.kernels))
        return KernelPlan(choices, where("kormo.kernels"), self.registry)

    def identity_plan(self) -> IdentityPlan:
        """What the identity of the trained model depends on."""
        documents = self._corpus_plan(self.data)
        return IdentityPlan(self.resolved.values, documents, self.block.tokenizer, self.earlier_run)

    def run_plan(self) -> RunPlan:
        """The run's folder: what is written there, and what it resumes from."""
        named, model = self.get("resume_from_checkpoint"), self.get("base_model")
        keys = ("max_steps", "learning_rate", "resume_from_checkpoint", *dotted(self.resolved.values))
        return RunPlan(
            path=self.path,
            output_dir=self.output_dir,
            values=self.resolved.values,
            where=self._places(*keys),
            deepspeed=deepspeed_config(self.resolved),
            base_model=None if model is None else str(model),
            seed=self.seed,
            steps=self.steps,
            global_batch=self.block.global_batch,
            sequence_len=self.sequence_len,
            allow_changed=self.block.allow_changed,
            checkpoint=str(named) if named else None,
            auto_resume=bool(self.get("auto_resume_from_checkpoints")),
            stream=self.stream_plan() if self.data is not None and self.steps and self.block.global_batch else None,
            identity=self.identity_plan(),
        )

    def job_plan(self) -> JobPlan:
        """What the bridge needs of a recipe that Axolotl passes to it."""
        return JobPlan(
            plugins=tuple(self.get("plugins", [])),
            values=self.resolved.values,
            adapter=bool(self.get("adapter")),
            build=self.build_plan(),
            axolotl=self.axolotl_plan(),
            attention=self.attention_plan(),
            kernels=self.kernel_plan(),
            run=self.run_plan(),
            components=self.registry,
        )


def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Reads and checks a recipe (`checked.check_recipe`).

    Args:
        path: the recipe.
        overrides: values that override the files (Axolotl's command-line options).
    Raises:
        KormoError: all errors of the recipe, several as `KormoErrors`.
    """
    return Recipe.of(check_recipe(path, overrides))
