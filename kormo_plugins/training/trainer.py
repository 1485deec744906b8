"""The Trainer of our recipes: Axolotl's, with sixteen corrections and extensions.

1. The loss of a step is summed over the predicted tokens of its global batch and divided by their number, for any
   split into micro-batches, accumulation steps and ranks (Axolotl: mean of micro-batch means).
2. The sampler starts at the resumed step (`sampler.py`).
3. Weight decay applies to the parameters that the recipe selects (`optimizer.py`).
4. After the first step, the dtypes of the actual tensors are compared with the recipe (`precision.py`).
5. A checkpoint gets its completeness marker last, when all ranks have written (`saving.py`), and correct configs
   (`saved_config.py`); DeepSpeed's can be read by another number of ranks (`universal.py`).
6. Only one process writes the final model.
7. A NaN or a loss spike ends the run before the optimizer's step (`loss_guard.py`).
8. Logs include the loss by source and language, tokens and throughput (`metrics.py`).
9. A signal to any rank ends the run with a complete checkpoint (`preemption.py`).
10. Output layer and loss are computed in one pass, which also returns the token losses (`one_pass.py`).
11. bfloat16 weights can have float32 masters in the optimizer (`master_weights.py`).
12. `torch_compile` compiles the layers, not the whole model (`regional_compile.py`).
13. Matrix products of the layers can be float8 (`float8.py`).
14. Muon is torch's, with AdamW for all parameters that are not matrices of a layer (`muon.py`).
15. Gradient checkpointing can be limited to some layers (`checkpointed_layers.py`).
16. A fused optimizer clips in its step, without a pass over the gradients (`clipping.py`).

This module imports Axolotl and is imported only by a running training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec

import torch
from axolotl.core.trainers.base import AxolotlTrainer
from transformers import Trainer
from transformers.utils.generic import ModelOutput

from kormo_plugins.console.rank import launched_rank
from kormo_plugins.errors import KormoError, disk_error_in
from kormo_plugins.store.complete import MARKER
from kormo_plugins.training import checkpointed_layers, float8, muon, one_pass, precision, regional_compile
from kormo_plugins.training.checkpoints import universal
from kormo_plugins.training.checkpoints.complete import checkpoints, step_of
from kormo_plugins.training.checkpoints.milestones import SaveMilestones
from kormo_plugins.training.checkpoints.recipe_wins import RecipeSettings, own_clipping, reading
from kormo_plugins.training.checkpoints.saving import save_whole
from kormo_plugins.training.clipping import FusedClipping, fusable, total_norm
from kormo_plugins.training.compat import upstream
from kormo_plugins.training.compat.side_channel import ControlChannel
from kormo_plugins.training.guards import loss_guard
from kormo_plugins.training.guards.preemption import Preemption
from kormo_plugins.training.guards.row_losses import per_row_loss
from kormo_plugins.training.master_weights import MasterWeights, not_loaded
from kormo_plugins.training.objective import NEXT_TOKEN
from kormo_plugins.training.optimizer import decayed_parameters, parameter_groups
from kormo_plugins.training.sampler import OffsetSampler
from kormo_plugins.training.settings import Settings
from kormo_plugins.training.telemetry.metrics import Meter, logs_next

if TYPE_CHECKING:
    from torch.utils.data import Dataset
    from transformers.trainer_utils import TrainOutput

Objective = Callable[
    [torch.nn.Module, dict[str, torch.Tensor], torch.Tensor | int | None, object], tuple[torch.Tensor, ModelOutput]
]

P = ParamSpec("P")


class ObjectiveMixin(Trainer):
    """Computes the loss with the recipe's objective, below Axolotl's overrides in the MRO."""

    kormo: Settings | None = None
    objective: Objective | None = None
    meter: Meter | None = None

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, ModelOutput]:
        """The objective's loss, scaled by the number of ranks: DDP and ZeRO average gradients over ranks, while
        the sum over tokens was divided by the tokens of all of them."""
        sources = inputs.pop("sources", None)
        if self.objective is None or self.compute_loss_func is not None or self.label_smoother is not None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        params = self.kormo.objective_params if self.kormo else None
        loss, outputs = self.objective(model, inputs, num_items_in_batch, params)
        if self.meter is not None and model.training:
            self.meter.end(inputs, outputs, sources)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss


class RunMixin(Trainer):
    """Common behaviour of all our runs, on top of a trainer of Axolotl. Call `configure` before `train`."""

    args: Any  # AxolotlTrainingArguments, which adds fields to transformers' own
    kormo: Settings | None = None
    objective: Objective | None = None
    _offset_sampler: OffsetSampler | None = None
    _precision_checked = False
    _ranks: ControlChannel | None = None
    _step_loss: torch.Tensor | None = None
    _step_batches: tuple[dict[str, torch.Tensor], ...] = ()
    _recipe_settings: RecipeSettings | None = None
    _watch: loss_guard.LossSpikeGuard | None = None
    meter: Meter | None = None
    masters: MasterWeights | None = None
    fused_clipping: FusedClipping | None = None

    def configure(self, settings: Settings, objective: Objective, stop: Callable[[KormoError], NoReturn]) -> None:
        """Sets the recipe's settings; called once, after Axolotl has built the trainer.

        Args:
            stop: ends the process with a KormoError's message.
        """
        self.kormo, self.objective, self._stop = settings, objective, stop
        self._watch = loss_guard.LossSpikeGuard(settings.stop_on)
        if launched_rank() != 0:
            # Local rank 0 of every node would write the final model into the same folder, and every rank the tokenizer,
            # while rank 0 hashes what is there.
            for part in (self.model, self.processing_class):
                if part is not None:
                    setattr(part, "save_pretrained", lambda *args, **kwargs: None)  # noqa: B010
        else:
            model: Any = self.model
            model.save_pretrained = partial(self._save_or_tell, model.save_pretrained)

    def _save_or_tell(self, save: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Saves the model; a full disk ends the process with a message, also at the end of training."""
        try:
            save(*args, **kwargs)
        except Exception as error:
            self._stop_if_full(error)
            raise

    def _stop_if_full(self, error: Exception) -> None:
        assert self.kormo is not None
        named = disk_error_in(error, where=self.kormo.output_dir)
        if named is not None:
            self._stop(named)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """Trains; a KormoError ends the process with its message and without a traceback."""
        if self.kormo is None:
            return super().train(resume_from_checkpoint, *args, **kwargs)
        if self.is_world_process_zero():
            for name in (MARKER, loss_guard.FILE):  # the final model will be rewritten
                (self.kormo.output_dir / name).unlink(missing_ok=True)
        self._ranks = ControlChannel()
        # Another rank may have listed the folder before rank 0 moved a broken checkpoint aside.
        resume_from_checkpoint = self._ranks.from_main(resume_from_checkpoint)
        preemption = Preemption(self._ranks)
        self.add_callback(preemption)
        self.add_callback(SaveMilestones(self.kormo))
        preemption.start()
        try:
            upstream.refuse_other_engine(self, self.kormo.zero_stage)
            with upstream.checkpoints_loaded_by(self._load_deepspeed):
                result = super().train(resume_from_checkpoint, *args, **kwargs)
            if preemption.signal and self.state.global_step < self.state.max_steps:
                preemption.leave(self.kormo.output_dir, self.state.global_step)
            return result
        except KormoError as error:
            self._stop(error)
        except OSError as error:  # a log or a record that could not be written
            self._stop_if_full(error)
            raise
        finally:
            preemption.stop()

    def _load_deepspeed(self, original: Callable[..., None], engine: object, path: str, **kwargs: object) -> None:
        """DeepSpeed loads the optimizer before Trainer does, so the recipe's settings are saved here."""
        assert self.optimizer is not None and self.lr_scheduler is not None
        self._recipe_settings = RecipeSettings.of(self.optimizer.param_groups, self.lr_scheduler)
        with own_clipping(engine):
            universal.load(original, engine, path, **kwargs)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Loads the state, but keeps the recipe's settings (`checkpoints/recipe_wins.py`)."""
        if self.kormo is None or checkpoint is None:
            return super()._load_optimizer_and_scheduler(checkpoint)
        assert self.optimizer is not None and self.lr_scheduler is not None
        settings = self._recipe_settings or RecipeSettings.of(self.optimizer.param_groups, self.lr_scheduler)
        if self.masters is not None:
            self.masters.loaded = False
        with reading(Path(checkpoint)):
            super()._load_optimizer_and_scheduler(checkpoint)
        settings.restore(self.optimizer, self.lr_scheduler, Path(checkpoint))
        if self.masters is not None and not self.masters.loaded:
            raise not_loaded(checkpoint)

    def _get_train_sampler(self, train_dataset: Dataset[object] | None = None) -> Any:
        if self.kormo is None or self.kormo.steps is None:
            return super()._get_train_sampler(train_dataset)
        dataset: Any = train_dataset if train_dataset is not None else self.train_dataset
        length = len(dataset)
        self._offset_sampler = OffsetSampler(length)
        return self._offset_sampler

    def _run_epoch(self, *args: object, **kwargs: Any) -> object:
        resumed = kwargs["steps_trained_in_current_epoch"] > 0 and kwargs["epoch"] == kwargs["epochs_trained"]
        if self._offset_sampler is None or self.kormo is None or self.kormo.global_batch is None or not resumed:
            return super()._run_epoch(*args, **kwargs)
        self._offset_sampler.start = self.state.global_step * self.kormo.global_batch
        with upstream.no_batch_skipping():  # the sampler already starts at the right sample
            return super()._run_epoch(*args, **kwargs)

    def create_optimizer(self, *args: object, **kwargs: object) -> torch.optim.Optimizer:
        """The recipe's optimizer, with our float32 masters if the recipe has them and DeepSpeed is not used."""
        if self.kormo is not None and self.kormo.optimizer == muon.NAME and self.optimizer is None:
            self.optimizer = self._muon()
        optimizer = super().create_optimizer(*args, **kwargs)
        ours = self.kormo is not None and self.kormo.precision.master and not self.is_deepspeed_enabled
        if ours and self.masters is None:
            self.masters = MasterWeights(optimizer)
        engine = self.is_deepspeed_enabled or self.is_fsdp_enabled or self.accelerator.scaler is not None
        if self.kormo is not None and not engine and self.fused_clipping is None and fusable(optimizer):
            self.fused_clipping = FusedClipping(optimizer)
        return optimizer

    def _muon(self) -> muon.MuonAdamW:
        args, net = self.args, self.model
        assert net is not None
        groups = self.create_optimizer_grouped_parameters(net, {"lr": args.learning_rate})
        optimizer: tuple[object, dict[str, object]] | None = getattr(self, "optimizer_cls_and_kwargs", None)
        given = optimizer[1] if optimizer else {}
        options = {name: given[name] for name in ("momentum", "nesterov", "ns_steps") if name in given}
        ours, others = muon.of_groups(groups, muon.matrices(net))
        return muon.MuonAdamW(ours, others, betas=(args.adam_beta1, args.adam_beta2), eps=args.adam_epsilon, **options)

    def _clip_grad_norm(self, model: torch.nn.Module) -> torch.Tensor | float | None:
        if self.fused_clipping is not None:
            return self.fused_clipping.clip(self._with_gradients(model), self.args.max_grad_norm)
        if self.masters is not None:
            return self.masters.clip(self.args.max_grad_norm)
        norm: torch.Tensor | float | None = super()._clip_grad_norm(model)
        return norm

    def _with_gradients(self, model: torch.nn.Module) -> Iterable[torch.Tensor]:
        """The tensors that hold the gradients of the optimizer's step, averaged over the ranks."""
        if self.masters is None:
            return model.parameters()
        self.masters.average()
        return self.masters.masters

    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        """Names of the decayed parameters, by the recipe's `kormo.decay`."""
        if self.kormo is None:
            return super().get_decay_parameter_names(model)
        return decayed_parameters(model, self.kormo.decay)

    def create_optimizer_grouped_parameters(
        self, opt_model: torch.nn.Module, optimizer_kwargs: dict[str, float]
    ) -> list[dict[str, object]]:
        """Groups for optimizers created by Axolotl, by the same rule as for Trainer's."""
        rate = optimizer_kwargs["lr"]
        embedding = self.args.embedding_lr
        if self.args.embedding_lr_scale:
            embedding = rate * self.args.embedding_lr_scale
        return parameter_groups(
            opt_model.named_parameters(),
            self.get_decay_parameter_names(opt_model),
            self.args.weight_decay,
            rate,
            embedding,
            self.args.lr_groups or (),
        )

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """One micro-batch; the first one after an optimizer step checks the dtypes."""
        if not self._precision_checked and self.kormo and self.state.global_step > 0:
            self._precision_checked = True
            assert self.model is not None
            if not upstream.is_quantized(self.model):
                precision.check(self.kormo.precision, precision.observe(self.model, self.optimizer))
        if self.meter is not None:
            self.meter.begin(inputs, logs_next(self.args, self.state))
        self._step_batches = (*self._step_batches, inputs)
        if self.masters is not None:
            self.masters.wrapped(model)
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._step_loss = loss if self._step_loss is None else self._step_loss + loss
        return loss

    def _get_grad_norm(
        self, model: torch.nn.Module, grad_norm: torch.Tensor | float | None = None
    ) -> torch.Tensor | float | None:
        """The gradient norm; the last call before the optimizer's step, so the step is checked here."""
        if grad_norm is None and (self.masters is not None or self.fused_clipping is not None):
            grad_norm = total_norm(self._with_gradients(model))
        norm: torch.Tensor | float | None = super()._get_grad_norm(model, grad_norm=grad_norm)
        if self._watch is not None and self.kormo is not None:
            if not self._watch.losses:  # a resumed run gets its history from the log
                self._watch.remember(line["loss"] for line in self.state.log_history if "loss" in line)
            self._judge(self._watch, self.kormo, norm)
        self._step_loss, self._step_batches = None, ()
        return norm

    def _judge(self, judge: loss_guard.LossSpikeGuard, settings: Settings, norm: torch.Tensor | float | None) -> None:
        assert self._step_loss is not None
        known = 0.0 if norm is None else norm  # DeepSpeed may have none
        mine = torch.stack([self._step_loss.float(), torch.as_tensor(known, device=self._step_loss.device).float()])
        loss, grad_norm = self.accelerator.reduce(mine, "mean").tolist()
        reason = judge.judge(loss, grad_norm)
        if reason is None:
            return
        step, batch = self.state.global_step, None
        rows = per_row_loss(self, self.meter.losses, self._step_batches) if self.meter and settings.batch else None
        if self.is_world_process_zero():
            batch = loss_guard.with_losses(settings.batch(step), rows) if settings.batch else None
            loss_guard.write_report(
                settings.output_dir,
                step=step,
                reason=reason,
                loss=loss,
                grad_norm=grad_norm,
                losses_before=list(judge.losses),
                batch=batch,
            )
        last = max(checkpoints(settings.output_dir), key=step_of, default=None)
        raise loss_guard.stopped(settings.output_dir, step, settings.steps, reason, batch, last.name if last else None)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the metrics of the meter, for every tracker; called on all ranks."""
        if self.meter is not None and "loss" in logs:
            logs.update(self.meter.collect(self.state.global_step, partial(self.accelerator.reduce, reduction="sum")))
        super().log(logs, start_time)

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        if self.kormo is None or self._ranks is None:
            return super()._save_checkpoint(model, trial)
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        save = partial(super()._save_checkpoint, model, trial)
        save_whole(self, self.kormo, self._ranks, folder, save)


class KormoTrainer(RunMixin, AxolotlTrainer, ObjectiveMixin):
    """Axolotl's trainer for causal language models with an exact loss."""

    def configure(self, settings: Settings, objective: Objective, stop: Callable[[KormoError], NoReturn]) -> None:
        """As in `RunMixin`; the loss is summed over tokens."""
        super().configure(settings, objective, stop)
        # AxolotlTrainer.__init__ sets this to False for every causal model; with it the loss is a mean of means.
        self.model_accepts_loss_kwargs = True
        bare = self.accelerator.unwrap_model(self.model)
        if settings.objective == NEXT_TOKEN:  # another objective may need the logits
            one_pass.install(bare)
        if settings.checkpointed_layers is not None:
            checkpointed_layers.limit(bare, settings.checkpointed_layers)
        if settings.precision.compute == "float8":
            float8.convert(bare)
        if self.args.torch_compile:
            regional_compile.compile_layers(bare, self.accelerator)
        self.meter = Meter(settings, bare, self.args.device, self.accelerator.num_processes)
