"""The plugin that Axolotl loads: translates its hooks into calls of our rooms.

Axolotl calls `register` with the raw recipe, in every process, before anything else. There the recipe is resolved,
checked and built, and Axolotl's own keys are filled in; all later hooks only hand over the results. Bad input ends the
process here with one message and exit status 2, before a process group exists.

This module imports Axolotl; nothing that the `kormo` command needs may import it.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from axolotl.integrations.base import BasePlugin, PluginManager

from kormo_plugins.bridge import commands, kernels
from kormo_plugins.bridge.guard import guarded, stop
from kormo_plugins.bridge.job import Job
from kormo_plugins.console.rank import launched_rank as rank
from kormo_plugins.errors import Faults, KormoError, in_words
from kormo_plugins.pipeline import refusals
from kormo_plugins.pipeline.axolotl_keys import axolotl_values, training_precision
from kormo_plugins.pipeline.build import build_planned
from kormo_plugins.pipeline.built import Built, say
from kormo_plugins.pipeline.open import make_collator, open_dataset
from kormo_plugins.recipe.checks.devices.machine import not_ready
from kormo_plugins.recipe.checks.validate import check_with_axolotl
from kormo_plugins.recipe.files.reader import EXTENDS
from kormo_plugins.recipe.files.resolve import overrides_of
from kormo_plugins.recipe.load import Recipe, load_recipe, warnings_of
from kormo_plugins.recipe.projections import JobPlan
from kormo_plugins.recipe.schema.axolotl import axolotl_keys
from kormo_plugins.recipe.schema.axolotl_plugins import is_ours, plugin_class
from kormo_plugins.runs import finish, folder, settings
from kormo_plugins.runs.monitors import watchers
from kormo_plugins.runs.occupancy import occupy
from kormo_plugins.training import precision
from kormo_plugins.training.compat import cpu_ranks, upstream, variants, versions
from kormo_plugins.training.guards.callback import RunCallback
from kormo_plugins.training.precision import torch_dtype
from kormo_plugins.training.telemetry import progress
from kormo_plugins.training.telemetry.progress import replace_bars

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from axolotl.common.datasets import TrainDatasetMeta as Dataset
    from axolotl.utils.dict import DictDefault
    from transformers import PreTrainedModel, Trainer, TrainerCallback


SELF = "kormo_plugins.KormoPlugin"


class KormoPlugin(BasePlugin):
    """Makes `kormo:` and `extends:` work in an Axolotl recipe.

    Axolotl 0.21 registers every installed plugin for every recipe; for a recipe that is not ours, no hook does
    anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recipe: Recipe | None = None
        self.built = Built()

    @guarded
    def register(self, cfg: DictDefault) -> None:
        """Resolves, checks and builds the recipe, and fills in Axolotl's keys; may be called more than once."""
        self.recipe, self.built = None, Built()
        if not _is_ours(cfg) or self._is_second():
            return
        try:
            versions.require_supported(versions.installed())
            self._register(cfg)
        except KormoError as error:
            stop(commands.of_a_sweep(error, Path(str(cfg.axolotl_config_path))))

    def _is_second(self) -> bool:
        """Whether this plugin is already registered, for recipes that name it twice by different paths."""
        plugins = PluginManager.get_instance().plugins.values()
        return all(one is not self for one in plugins) and any(isinstance(one, KormoPlugin) for one in plugins)

    def _register(self, cfg: DictDefault) -> None:
        self.recipe, chosen = _read(cfg)
        plan = self.recipe.job_plan()
        extra, plugins = kernels.axolotl_keys(plan.kernels)
        self._adopt_plugins(cfg, plan.run.path, [*plan.plugins, *plugins])
        job = Job.of(cfg)
        if cfg.inference:
            values = _for_inference(plan, chosen)
        else:
            _refuse(plan, job, partial(_refuse_early, self.recipe, extra))
            self.built = build_planned(plan.build, log=say if rank() == 0 else lambda line: None)
            values = axolotl_values(plan.axolotl, self.built, job.world_size)
            if job.trains:
                folder.prepare(plan.run, self.built, main=rank() == 0, world_size=job.world_size)
        _apply(cfg, {**plan.values, **values, **extra}, folder.resolved_path(plan.run.output_dir))
        if not cfg.inference:
            self._make_ready(job, deepspeed=plan.axolotl.deepspeed is not None)

    def _make_ready(self, job: Job, deepspeed: bool) -> None:
        """Prepares this process for what Axolotl does next."""
        if job.merges:
            variants.call_after_merge(guarded(self._merged))
        if job.drives:
            return
        cpu_ranks.prepare(deepspeed=deepspeed and not job.preprocesses)
        cpu_ranks.use_all_cores()

    def _adopt_plugins(self, cfg: DictDefault, recipe: Path, named: Sequence[str]) -> None:
        """Registers the Axolotl plugins that a parent recipe names, each exactly once.

        Axolotl iterates over its dictionary of plugins while it calls this, so the dictionary is replaced, not changed.
        A recipe that names this plugin by another path than our entry point would otherwise have it in there twice.
        """
        manager = PluginManager.get_instance()
        wanted = list(dict.fromkeys(variants.plugin_name(name) for name in named))
        added: list[BasePlugin] = []
        plugins = manager.plugins.copy()
        for name, plugin in manager.plugins.items():
            if isinstance(plugin, KormoPlugin) and plugin is not self:
                del plugins[name]
        for name in wanted:
            if name in plugins or is_ours(name):
                continue
            if name in [variants.plugin_name(given) for given in cfg.get("plugins") or []]:
                raise _cannot_import(recipe, name, "Axolotl could not import it; the reason is printed above")
            try:
                plugins[name] = plugin_class(name)()
            except KormoError:
                raise
            except Exception as error:
                raise _cannot_import(recipe, name, in_words(error)) from error
            added.append(plugins[name])
        manager.plugins = plugins
        cfg["plugins"] = wanted
        for plugin in added:
            _register_other(recipe, plugin, cfg)

    def get_input_args(self) -> str:
        """The schema of our keys, merged into Axolotl's."""
        return "kormo_plugins.recipe.schema.axolotl_args.KormoArgs"

    @guarded
    def load_datasets(self, cfg: DictDefault, preprocess: bool = False) -> Dataset | None:
        """The mixture, exactly steps × global batch rows; None if the recipe has no `kormo.data`."""
        recipe = self.recipe
        if recipe is None:
            return None
        if cpu_ranks.world_size() > 1 and not cpu_ranks.has_accelerator():
            cfg.device_map = dict(cpu_ranks.DEVICE_MAP)
        cfg.torch_dtype = torch_dtype(recipe.block.precision.weights)
        if recipe.data is None:
            return None
        from axolotl.common.datasets import TrainDatasetMeta

        dataset = open_dataset(recipe.stream_plan(), self.built)
        return TrainDatasetMeta(train_dataset=dataset, eval_dataset=None, total_num_steps=recipe.steps)

    @guarded
    def pre_model_load(self, cfg: DictDefault) -> None:
        """Applies the kernels, and variable-length attention if the recipe wants it (`sdpa_varlen: true`) and the GPU
        has it."""
        if self.recipe is None:
            return

        if cfg.rl:
            upstream.no_second_model()
        if cfg.use_trackio:
            upstream.trackio_as_installed()
        progress.quiet_libraries()
        dtypes = training_precision(self.recipe.block.precision)
        lines = upstream.use_varlen_attention(dtypes) if cfg.sdpa_varlen else []
        for line in [*lines, *kernels.apply(self.recipe.kernel_plan(), str(cfg.model_config_type))]:
            if rank() == 0:
                say(line)

    @guarded
    def post_model_load(self, cfg: DictDefault, model: PreTrainedModel) -> None:
        """Converts the weights to the recipe's dtype (Axolotl upcasts some of them)."""
        if self.recipe is not None and not upstream.is_quantized(model) and not cfg.adapter:
            precision.cast_weights(model, training_precision(self.recipe.block.precision))

    @guarded
    def get_trainer_cls(self, cfg: DictDefault) -> type[Trainer] | None:
        """Our trainer for causal language models; Axolotl's own for preference learning."""
        if self.recipe is None or cfg.rl or cfg.reward_model or cfg.process_reward_model:
            return None
        from kormo_plugins.training.trainer import KormoTrainer

        return KormoTrainer

    @guarded
    def get_training_args(self, cfg: DictDefault) -> dict[str, object]:
        """Training arguments that Axolotl sets differently, one that would replace a NaN by the last good loss,
        bfloat16 on a machine without an accelerator, which transformers computes if it is told that it is one, and
        those of trackio: Axolotl puts its keys for it into the environment, where nothing reads them."""
        if self.recipe is None:
            return {}
        import torch

        keys = {"project": cfg.trackio_project_name, "trackio_space_id": cfg.trackio_space_id}
        trackio = {key: value for key, value in keys.items() if value}
        on_cpu = {"use_cpu": True} if cfg.bf16 and not torch.accelerator.is_available() else {}
        return {"average_tokens_across_devices": True, "logging_nan_inf_filter": False, **on_cpu, **trackio}

    @guarded
    def get_collator_cls_and_kwargs(
        self, cfg: DictDefault, is_eval: bool = False
    ) -> tuple[Callable[..., object], dict[str, object]] | None:
        """The recipe's collator; None if the rows are not ours."""
        recipe = self.recipe
        if recipe is None or recipe.data is None:
            return None
        collate = make_collator(recipe, self.built)
        return (lambda tokenizer=None, **kwargs: collate), {}

    @guarded
    def post_trainer_create(self, cfg: DictDefault, trainer: Trainer) -> None:
        """Hands the recipe to our trainer."""
        from kormo_plugins.training.trainer import RunMixin

        if self.recipe is not None and isinstance(trainer, RunMixin):
            objective = self.recipe.registry.load("objective", self.recipe.block.objective.name)
            trainer.configure(settings.settings(self.recipe, self.built), objective, stop)

    @guarded
    def add_callbacks_post_trainer(self, cfg: DictDefault, trainer: Trainer) -> list[TrainerCallback]:
        """Progress, `metrics.jsonl`, the callbacks of the recipe, and those for what our own trainers do themselves."""
        if self.recipe is None:
            return []
        from kormo_plugins.training.trainer import RunMixin

        made = watchers(self.recipe, self.built, trainer, settings.callbacks(self.recipe))
        ours = isinstance(trainer, RunMixin)
        guest = [] if ours else [RunCallback(settings.settings(self.recipe, self.built), stop)]
        return [replace_bars(trainer), *made, *guest]

    @guarded
    def post_train_unload(self, cfg: DictDefault) -> None:
        """After the weights are saved: corrects configs, writes the plain Llama export and samples, and prints their
        paths."""
        if self.recipe is None or rank() != 0 or variants.training_failed():
            return
        kernels.release(self.recipe.kernel_plan())  # the rest runs on the CPU
        finish.finish(self.recipe, self.built)

    @guarded
    def post_lora_merge(self, cfg: DictDefault, adapter_path: str, output_path: str) -> None:
        """Called by Axolotl 0.21 and later after a merge; for earlier versions, `variants.call_after_merge` does it."""
        self._merged()

    def _merged(self) -> None:
        """Finishes the model that `axolotl merge-lora` has made of base and adapters."""
        if self.recipe is not None:
            finish.finish_merged(self.recipe, self.built)


def _read(cfg: DictDefault) -> tuple[Recipe, str | None]:
    """The recipe that Axolotl was given, and the model that `axolotl inference --base-model` names."""
    path = Path(str(cfg.axolotl_config_path))
    overrides = {} if folder.is_resolved(path) else overrides_of(cfg, path)
    # Axolotl writes the options of its commands (`--debug`) into the configuration, although they are no keys.
    view = axolotl_keys([SELF])
    options = {"inference", "is_preprocess", *view.command_line} - set(view.schema["properties"])
    overrides = {key: value for key, value in overrides.items() if key not in options}
    if cfg.merge_lora and overrides.get("load_in_4bit") is False:  # set by the command, which merges in full
        overrides["bnb_config_kwargs"] = None
    chosen = overrides.pop("base_model", None) if cfg.inference else None
    return load_recipe(path, overrides), chosen


def _refuse(plan: JobPlan, job: Job, refuse_early: Callable[[dict[str, object]], None]) -> None:
    """Refuses what is known to fail before anything is built, then acquires the lease of the run's folder."""
    commands.refuse(plan)
    planned = axolotl_values(plan.axolotl, None, job.world_size)
    if not job.merges:
        refuse_early(planned)
    refusals.refuse_leaking_attention(plan.attention, cpu_ranks.has_accelerator() and not job.preprocesses)
    if job.preprocesses:
        return
    refusals.refuse_long_build(plan.build, job.world_size)
    if rank() == 0 and not job.drives and not job.merges:
        occupy(plan.run.output_dir, say)


def _refuse_early(recipe: Recipe, extra: Mapping[str, object], planned: Mapping[str, object]) -> None:
    """Checks for what Axolotl or this machine would refuse once everything is built.

    Args:
        extra: the Axolotl keys of the kernels.
        planned: the Axolotl keys that the `kormo` block becomes, with placeholders for what is not built.
    """
    faults = Faults(not_ready(recipe))
    with faults.catch():
        check_with_axolotl(recipe.resolved, {**recipe.resolved.values, **planned, **extra})
    faults.raise_any()
    if rank() == 0:
        for warning in warnings_of(recipe):
            print(warning.render(), file=sys.stderr, flush=True)


def _apply(cfg: DictDefault, values: Mapping[str, object], resolved: Path) -> None:
    """Fills in Axolotl's configuration, and names the resolved recipe as its file."""
    cfg.pop("extends", None)
    for key, value in values.items():
        if key != "plugins":  # adopted already
            cfg[key] = value
    cfg["hub_model_id"] = None  # Axolotl pushes while it trains; `runs/finish.py` publishes the finished model
    cfg["axolotl_config_path"] = str(resolved)


def _for_inference(plan: JobPlan, chosen: str | None) -> dict[str, object]:
    """Makes `axolotl inference` use the model that this recipe trained, not the one that it started from."""
    out = plan.run.output_dir
    if chosen is None and not (out / "config.json").is_file():
        raise KormoError(
            where=str(out),
            found="no trained model",
            why="this recipe has not been trained yet",
            do=f"run `axolotl train {plan.run.path}` first, or pass --base-model",
        )
    values = axolotl_values(plan.axolotl, None)
    values.pop("gradient_accumulation_steps", None)
    folder.register_architectures(plan.components)
    return {**values, "base_model": chosen or str(out), "deepspeed": None}


def _is_ours(cfg: DictDefault) -> bool:
    """Whether a raw configuration is a recipe of ours: it names our plugin, or has a key that only we read."""
    return any(is_ours(str(name)) for name in cfg.get("plugins") or ()) or any(key in cfg for key in ("kormo", EXTENDS))


def _register_other(recipe: Path, plugin: BasePlugin, cfg: DictDefault) -> None:
    try:
        plugin.register(cfg)
    except KormoError:
        raise
    except Exception as error:
        raise KormoError(
            where=f"{recipe}: plugins",
            found=type(plugin).__name__,
            why=f"this plugin, which is not part of kormo-plugins, fails while registering ({in_words(error)})",
            do="report it to its author, or remove it from the recipe; KORMO_TRACEBACK=1 shows the traceback",
        ) from error


def _cannot_import(recipe: Path, name: str, reason: str) -> KormoError:
    return KormoError(
        where=f"{recipe}: plugins",
        found=f"{name!r}",
        why=f"it cannot be loaded ({reason}); without it this would be a different run",
        do="correct the name, install what it needs, or remove it from the recipe",
    )
