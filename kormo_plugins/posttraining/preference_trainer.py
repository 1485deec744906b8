"""The Trainer of preference runs: Axolotl's around TRL's DPOTrainer, with six corrections besides `RunMixin`'s.

1. The token ids of the pairs are used unchanged. TRL would tokenize texts again: with <|BOS|> if the tokenizer adds
one, a
   second <|EOT|> after an answer that ends with a newline, and answers truncated at `max_length`.
2. The reference model is the initial model: log πref(y|x) is computed once for each pair that the run will use, and
   stored in the run's folder. No second model is loaded.
3. It is computed under the same autocast as the policy; TRL computes it before the model is prepared, without autocast,
   so that with float32 weights and bfloat16 products the first margins would be rounding errors.
4. Log-probabilities are computed from float32 logits. Under DeepSpeed in bfloat16 the log-probability of an answer, say
   -501.3, would otherwise be rounded to a multiple of 2 (bfloat16 has 8 significant bits).
5. Axolotl runs the garbage collector after every micro-batch; objects from before training are frozen, since scanning
   all modules of all libraries would take 0.1 to 1 s per step.
6. With `kormo.pack_pairs` there is no padding, and no logits of prompts are computed (`packed_pairs.py`).

The loss is TRL's (`dpo_loss_type`), a mean over pairs; all micro-batches have the same number of pairs, so the mean of
their means is the mean over the global batch.

This module imports Axolotl and TRL and is imported only by a running training.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError
from kormo_plugins.posttraining.packed_pairs import packed
from kormo_plugins.store.array_file import save_array
from kormo_plugins.store.fingerprint import identity
from kormo_plugins.training.compat import variants
from kormo_plugins.training.trainer import RunMixin

if TYPE_CHECKING:
    from typing import TypeGuard

    from transformers.trainer_utils import TrainOutput
    from transformers.utils.generic import ModelOutput

    from kormo_plugins.mixture.pairs import PairDataset

KEPT = "reference_logps"
Loss: TypeAlias = "torch.Tensor | tuple[torch.Tensor, ModelOutput]"
"""The loss, with the outputs of the model if requested."""


class PreferenceTrainer(RunMixin, AxolotlDPOTrainer):
    """DPO and its relatives over a dataset of token ids (`mixture/pairs.py`)."""

    model: Any
    train_dataset: object

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with variants.taken_by_trl(kwargs.get("train_dataset")):
            super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: object, *args: object, **kwargs: object) -> object:
        """Returns a dataset of ids unchanged."""
        if _has_ids(dataset):
            return dataset
        return super()._prepare_dataset(dataset, *args, **kwargs)

    def _precompute_ref_logps(self, dataset: object, name: str, batch_size: int) -> object:
        """Deferred to `train`: in `__init__`, the recipe is not known yet."""
        if _has_ids(dataset):
            return dataset
        return super()._precompute_ref_logps(dataset, name, batch_size)

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Computes the reference's log-probabilities, then trains."""
        dataset = self.train_dataset
        self.model.register_forward_hook(_float_logits)
        if self.kormo is not None and self.precompute_ref_logps and _has_ids(dataset):
            try:
                dataset.reference = self._reference(dataset)
            except KormoError as error:
                self._stop(error)
            except OSError as error:
                self._stop_if_full(error)
                raise
        gc.collect()
        gc.freeze()
        try:
            return super().train(*args, **kwargs)
        finally:
            gc.unfreeze()

    @property
    def _packs(self) -> bool:
        kormo = self.kormo
        return kormo is not None and kormo.pack_pairs and self.precompute_ref_logps and _has_ids(self.train_dataset)

    def _one_row(self) -> bool:
        """Whether attention takes boundaries of texts instead of a mask."""
        assert self.kormo is not None
        kind = str(getattr(self.model.config, "_attn_implementation", ""))
        return "flash" in kind or (self.kormo.varlen and torch.cuda.is_available())

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], return_outputs: bool) -> Loss:
        """TRL's loss; on packed pairs if the recipe sets `kormo.pack_pairs`."""
        if not self._packs or "completion_mask" not in inputs:
            plain: Loss = super()._compute_loss(model, inputs, return_outputs)
            return plain
        pairs = packed(inputs, one_row=self._one_row())
        loss: Loss = super()._compute_loss(pairs.of(model), pairs.answers, return_outputs)
        return loss

    def compute_ref_log_probs(
        self, model: Callable[..., object], inputs: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The reference's log-probabilities on the same rows as the policy; chosen and rejected, each [pairs]."""
        if self._packs:
            pairs = packed(inputs, one_row=self._one_row())
            model, inputs = pairs.of(model), pairs.answers
        log_probs: tuple[torch.Tensor, torch.Tensor] = super().compute_ref_log_probs(model, inputs)
        return log_probs

    def _reference(self, dataset: PairDataset) -> NDArray[np.float32]:
        """log πref of chosen and rejected for each pair that the run uses; float32 [pairs, 2], NaN for the others."""
        assert self.kormo is not None
        path = self._kept_at(dataset)
        known = np.full((int(dataset.sizes.sum()), 2), np.nan, np.float32)
        if path.is_file():
            known = np.load(path, allow_pickle=False)
        wanted = np.unique([dataset.number(index) for index in range(len(dataset))])
        missing = wanted[np.isnan(known[wanted]).any(axis=1)].tolist()
        if missing:
            known[missing] = self._logps(dataset, missing)
            if self.is_world_process_zero():
                path.parent.mkdir(parents=True, exist_ok=True)
                save_array(path, known)
            self.accelerator.wait_for_everyone()
        return known

    def _kept_at(self, dataset: PairDataset) -> Path:
        """Path of the stored values, named by what determines them: weights, pairs, precision."""
        assert self.kormo is not None
        sources = {name: pairs.identity for name, pairs in dataset.sources.items()}
        determinants = {
            "weights": self.kormo.record.get("weights"),
            "pairs": sources,
            "compute": self.kormo.precision.compute,
            "ld_alpha": self.ld_alpha,
        }
        return self.kormo.output_dir / f"{KEPT}-{identity(determinants)[:12]}.npy"

    def _logps(self, dataset: PairDataset, numbers: list[int]) -> NDArray[np.float32]:
        """Reference log-probabilities of some pairs, distributed over ranks; float32 [numbers, 2]."""
        from torch.utils.data import DataLoader

        size = self.args.precompute_ref_batch_size or self.args.per_device_train_batch_size
        pairs: Any = _Chosen(dataset, numbers)
        loader = self.accelerator.prepare(DataLoader(pairs, batch_size=size, collate_fn=self.data_collator))
        model, was_training = self._as_in_training(self._reference_model()), self.model.training
        self.model.eval()
        log_probs: list[torch.Tensor] = []
        for batch in loader:
            sides = self.compute_ref_log_probs(model, batch)
            log_probs.append(self.accelerator.gather_for_metrics(torch.stack(sides, dim=1)).float().cpu())
        self.model.train(was_training)
        return torch.cat(log_probs).numpy()

    def _as_in_training(self, model: Callable[..., object]) -> Callable[..., object]:
        """Wraps the model with the autocast that accelerate uses in training, if any."""
        if not self.accelerator.native_amp:
            return model

        def call(**inputs: object) -> object:
            """The forward pass, under the autocast of training."""
            with self.accelerator.autocast():
                return model(**inputs)

        return call

    def _reference_model(self) -> Any:
        """The initial model; under DeepSpeed, prepared and gathered by it."""
        if self.ref_model is not None:
            return self.ref_model
        if not self.is_deepspeed_enabled:
            return self.model
        from trl.models import prepare_deepspeed

        return prepare_deepspeed(self.model, self.accelerator)


class _Chosen:
    """A subset of the pairs of a dataset."""

    def __init__(self, dataset: PairDataset, numbers: list[int]) -> None:
        self.dataset, self.numbers = dataset, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> dict[str, object]:
        return self.dataset.pair(self.numbers[index])


def _float_logits(module: object, inputs: object, outputs: Any) -> object:
    """Casts the logits to float32."""
    outputs.logits = outputs.logits.float()
    return outputs


def _has_ids(dataset: object) -> TypeGuard[PairDataset]:
    return "prompt_ids" in (getattr(dataset, "column_names", None) or ())
