"""Reads checkpoints of unknown origin without running their code.

DeepSpeed reads its files with a full unpickler, which calls whatever a file names. Inside `weights_only`, torch creates
only tensors, numbers, containers and the DeepSpeed classes that its own files contain, and refuses everything else.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, in_words

ALLOWED = (
    "deepspeed.runtime.zero.config:ZeroStageEnum",
    "deepspeed.runtime.fp16.loss_scaler:LossScaler",
    "deepspeed.runtime.fp16.loss_scaler:DynamicLossScaler",
    "deepspeed.utils.tensor_fragment:fragment_address",
)
"""`module:class` of the objects in DeepSpeed's checkpoints besides tensors; creating them has no side effects."""


@contextmanager
def weights_only(checkpoint: Path) -> Iterator[None]:
    """Restricts every `torch.load` of this process (and of its forks) inside the block.

    Raises:
        KormoError: a file of the checkpoint refers to anything else.
    """
    import torch

    original: Any = torch.load
    torch.load = lambda *args, **kwargs: original(*args, **{**kwargs, "weights_only": True})
    try:
        with torch.serialization.safe_globals([_named(name) for name in ALLOWED]):
            yield
    except pickle.UnpicklingError as error:
        raise KormoError(
            where=str(checkpoint),
            found=in_words(error),
            why="a file of this checkpoint would execute code when loaded; weights need none, so it was not loaded",
            do="do not use this checkpoint; if you trust its author, report this with the DeepSpeed version",
        ) from None
    finally:
        torch.load = original


def _named(name: str) -> Callable[..., object]:
    module, _, attribute = name.partition(":")
    resolved: Callable[..., object] = getattr(importlib.import_module(module), attribute)
    return resolved
