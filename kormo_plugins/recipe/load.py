"""A recipe, read and checked: its resolved values, and the `kormo:` block and the data recipe as typed objects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kormo_plugins.corpus.comparisons import step_warnings
from kormo_plugins.errors import Faults, KormoError, Notice
from kormo_plugins.plugins.registry import Registry, UnknownComponent, registry
from kormo_plugins.recipe.checks.axolotl_keys.fate_table import TABLE
from kormo_plugins.recipe.checks.axolotl_keys.fates import refusals
from kormo_plugins.recipe.checks.axolotl_keys.fates import warnings as ineffective
from kormo_plugins.recipe.checks.axolotl_keys.keys import key_faults, listed_plugins
from kormo_plugins.recipe.checks.devices.context_parallel import shared_rows
from kormo_plugins.recipe.checks.devices.deepspeed import deepspeed_config
from kormo_plugins.recipe.checks.export import check_export
from kormo_plugins.recipe.checks.external_eval import external_eval_data
from kormo_plugins.recipe.checks.rules import RULES, Rule
from kormo_plugins.recipe.checks.schedule import course, generation_keys, schedule_arguments
from kormo_plugins.recipe.files.resolve import Resolved, dotted, resolve
from kormo_plugins.recipe.parts import check_tokenizer, components_of, kormo_block
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
from kormo_plugins.recipe.schema.axolotl import SchemaView, axolotl_keys
from kormo_plugins.recipe.schema.axolotl_plugins import OURS, is_ours, is_registered
from kormo_plugins.recipe.schema.dataset import DataRecipe, parse_data
from kormo_plugins.recipe.schema.kormo_block import KormoBlock


@dataclass(frozen=True)
class Recipe:
    """The checked content of a recipe."""

    path: Path
    resolved: Resolved
    block: KormoBlock
    data: DataRecipe | None
    registry: Registry
    external_eval: DataRecipe | None = None
    """Texts that are only measured (`kormo.monitor.external_eval`)."""

    def get(self, key: str, default: object = None) -> Any:
        """The value of an Axolotl key."""
        value = self.resolved.values.get(key)
        return default if value is None else value

    @property
    def sequence_len(self) -> int:
        """Tokens per row."""
        return int(self.get("sequence_len", 512))

    @property
    def seed(self) -> int:
        """The seed of weights, dropout and the order of the data."""
        return int(self.get("seed", 42))

    @property
    def output_dir(self) -> Path:
        """The run's folder."""
        return Path(self.get("output_dir", "outputs/run"))

    @property
    def steps(self) -> int | None:
        """Optimizer steps of the run; None if Axolotl's own datasets determine them."""
        if self.get("max_steps") is not None:
            return int(self.get("max_steps"))
        if self.block.tokens is None or self.block.global_batch is None:
            return None
        return math.ceil(self.block.tokens / (self.block.global_batch * self.sequence_len))

    @property
    def of_pairs(self) -> bool:
        """Whether the run is trained on preference pairs that we build."""
        return self.data is not None and bool(self.get("rl"))

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
    """Reads a recipe file and everything that it extends, and checks whatever can be checked without building.

    Args:
        path: the recipe.
        overrides: values that override the files (Axolotl's command-line options).
    Raises:
        KormoError: all errors of the recipe, several as `KormoErrors`. Unreadable files are reported first, as their
            content is not known.
    """
    given = dict(overrides or {})
    resolved = resolve(path, given)
    listed = resolved.get("plugins") or []
    if isinstance(listed, list) and not any(is_ours(str(name)) for name in listed) and is_registered(()):
        # If Axolotl finds our plugin by its entry point, the resolved recipe names it, for other versions and the
        # identity.
        given["plugins"] = [*(given.get("plugins") or ()), OURS[0]]
        resolved = resolve(path, given)
    if given.get("max_steps") is not None and resolved.get("kormo.tokens") is not None:
        # `--max-steps 10` on the command line shortens a recipe whose length is in tokens.
        resolved = resolve(path, {**given, "kormo": {**given.get("kormo", {}), "tokens": None}})
    faults = Faults()
    view = _axolotl_part(resolved, faults)
    recipe = _kormo_part(resolved, faults)
    for rule in RULES:
        _apply(rule, resolved, faults)
    if view is not None:
        _apply(partial(schedule_arguments, view=view), resolved, faults)
        _apply(partial(generation_keys, view=view), resolved, faults)
    reported = {fault.where for fault in faults}
    faults.add(*(fault for fault in refusals(resolved, TABLE) if fault.where not in reported))
    faults.raise_any()
    assert recipe is not None
    return recipe


def warnings_of(recipe: Recipe) -> list[Notice]:
    """Warnings: what is allowed in a valid recipe but probably unintended."""
    steps = step_warnings(recipe.data.corpus, recipe.registry) if recipe.data else ()
    return [*_renamed(recipe.resolved), *ineffective(recipe.resolved, TABLE), *course(recipe.resolved), *steps]


def _renamed(resolved: Resolved) -> Iterator[Notice]:
    for file, keys in resolved.renamed.items():
        for key, name in keys.items():
            yield Notice(
                where=f"{file}: {key}",
                found="the former name of a key",
                why=f"it is now called {name}; the old name still works",
                do=f"write {name}",
            )


def _axolotl_part(resolved: Resolved, faults: Faults) -> SchemaView | None:
    """Checks Axolotl's keys against the schema of the installed Axolotl, which is returned; None if it is not known."""
    names: list[str] = []
    with faults.catch():
        names = listed_plugins(resolved)
    with faults.catch():
        view = axolotl_keys(names)
        faults.add(*key_faults(resolved.values, view, resolved))
        return view
    return None


def _kormo_part(resolved: Resolved, faults: Faults) -> Recipe | None:
    """The `kormo:` block and everything that it names, as objects; None for those that are invalid."""
    values = resolved.values.get("kormo")
    if "kormo" not in resolved.values:
        faults.add(
            KormoError(
                where=f"{resolved.path}: kormo",
                found="nothing",
                why="a recipe for kormo-plugins needs a `kormo:` block",
                do="add one, or extend a recipe that has one (recipes/pretrain.yml)",
            )
        )
        return None
    components, found, block, data, external = None, Faults(), None, None, None
    with faults.catch():
        components = components_of(resolved)
    known = components or registry()
    with found.catch():
        block = kormo_block(resolved, known)
    given = values.get("data") if isinstance(values, Mapping) else None
    if isinstance(given, Mapping):
        with found.catch():
            data = parse_data(given, known, lambda key: resolved.where(f"kormo.data.{key}" if key else "kormo.data"))
    if block is not None and (data is not None or given is None):
        with found.catch():
            external = external_eval_data(resolved, block, data, known)
    with found.catch():
        check_tokenizer(resolved, known)
    # If the recipe's plugins are missing, an unknown name may be one of theirs.
    faults.add(*(fault for fault in found if components or not isinstance(fault, UnknownComponent)))
    if block is not None and not found:
        with faults.catch():
            check_export(block, known, resolved)
    if components is None or block is None or found:
        return None
    return Recipe(resolved.path, resolved, block, data, components, external)


def _apply(rule: Rule, resolved: Resolved, faults: Faults) -> None:
    """The errors that a rule finds. A rule may assume that values have the right type: if one does not, it has a
    message of its own, and errors of the rule mean nothing."""
    try:
        for fault in rule(resolved):
            faults.add(fault)
    except KormoError as error:
        faults.add(error)
    except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError):
        if not faults:
            raise
