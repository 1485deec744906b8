"""Products in float8: which matrices are converted, what it costs in exactness, and what is refused. The products of a
GPU are emulated: rounded to float8, multiplied in higher precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from kormo_plugins.errors import KormoError
from kormo_plugins.training.float8 import convert, refuse_without_float8
from kormo_plugins.training.precision import axolotl_switches
from kormo_plugins.training.settings import Precision

from .harness import model

pytest.importorskip("torchao.float8")


def inputs() -> dict[str, Any]:
    ids = torch.randint(0, 97, (2, 32), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "labels": ids}


def test_the_layers_are_converted_and_nothing_else() -> None:
    net = model().train()
    before = dict(net.named_parameters())
    wanted = {
        name.removesuffix(".weight") for name, weight in before.items() if "proj" in name and weight.shape[0] >= 16
    }
    assert convert(net, emulate=True) == len(wanted) == 10, "keys and values of one head have 8 rows"
    kinds = {name: type(module).__name__ for name, module in net.named_modules()}
    assert {name for name, kind in kinds.items() if kind == "Float8Linear"} == wanted
    after = dict(net.named_parameters())
    assert list(after) == list(before)
    assert all(after[name].data_ptr() == before[name].data_ptr() for name in before), "weights were copied"
    assert list(net.state_dict()) == list(model().state_dict())


def test_loss_and_gradients_are_those_of_float32_up_to_float8() -> None:
    plain, ours = model().train(), model().train()
    convert(ours, emulate=True)
    losses = []
    for net in (plain, ours):
        loss = net(**inputs()).loss
        loss.backward()
        losses.append(float(loss.detach()))
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.01)
    of = [torch.cat([p.grad.flatten() for p in net.parameters()]) for net in (plain, ours)]
    assert 1e-4 < float((of[0] - of[1]).norm() / of[0].norm()) < 0.15


def test_routers_and_odd_sizes_stay() -> None:
    layer = nn.ModuleDict({"gate": nn.Linear(16, 16), "up": nn.Linear(16, 32), "odd": nn.Linear(16, 24)})
    net = nn.Module()
    net.layers = nn.ModuleList([layer])
    assert convert(net, emulate=True) == 1
    assert {name: type(one).__name__ for name, one in layer.items()} == {
        "gate": "Linear", "up": "Float8Linear", "odd": "Linear",
    }  # fmt: skip
    with pytest.raises(KormoError, match="no matrix in the layers"):
        convert(nn.Linear(8, 8), emulate=True)


def test_what_cannot_be_held_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Precision("bfloat16", "float8", "float32", "float32")
    assert axolotl_switches(said, deepspeed=False)["bf16"] is True
    for engine in ({"deepspeed": True}, {"deepspeed": False, "adapters": True}):
        with pytest.raises(KormoError, match="float8 with"):
            axolotl_switches(said, **engine)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(KormoError, match="no GPU"):
        refuse_without_float8()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "an A100")
    with pytest.raises(KormoError, match=r"an A100, compute capability 8\.0"):
        refuse_without_float8()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    refuse_without_float8()
