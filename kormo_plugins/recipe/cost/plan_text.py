"""Formats the cost of a recipe as text; `plan.py` computes the numbers."""

from __future__ import annotations

import json

from kormo_plugins.recipe.cost.memory import GB, Setup
from kormo_plugins.recipe.cost.plan import Plan


def text(found: Plan) -> list[str]:
    """The lines of the plan."""
    machine, setup, memory_ = found.machine, found.setup, found.memory
    lines = [
        f"parameters      {found.model.parameters:,}"
        + (f", of which {setup.trainable:,} are trained" if setup.trainable < setup.parameters else "")
        + (f", of which a token uses {found.model.active:,}" if found.model.active < found.model.parameters else ""),
        f"global batch    {_known(found.rows_per_step)} {found.units} of {setup.sequence_len:,} tokens"
        + (
            f" = micro-batch {found.micro_batch_size} × accumulation {found.accumulation} × {machine.gpus}"
            if found.accumulation
            else ""
        ),
        f"length          {_known(found.steps)} steps, {_known(found.tokens)} tokens",
        f"compute         {_known(found.flops and float(found.flops))} FLOPs, {found.flops_per_token:.3g} per token",
        f"time            {_hours(found)} on {machine.gpus} × {machine.gpu} at {machine.mfu:.0%} MFU",
        "",
        f"memory per GPU, {machine.gpu} with {machine.capacity / GB:.1f} GB" if machine.cuda else "memory",
    ]
    zero = setup.zero.stage if setup.zero else 0
    about = {
        "gradients": f"ZeRO-{zero}" if zero else "",
        "activations": _checkpointed(setup),
        "logits": "a chunk at a time" if {"one_pass", "fused_linear_cross_entropy"} & setup.kernels else "",
        "buffers": "communication, optimizer step, CUDA context" if machine.cuda else "",
    }
    for part in ("weights", "gradients", "optimizer", "activations", "logits", "buffers", "total"):
        lines.append(f"  {part:<12}{getattr(memory_, part) / GB:10.2f} GB  {about.get(part, '')}".rstrip())
    if memory_.host:
        lines.append(f"  {'on the host':<12}{memory_.host / GB:10.2f} GB")
    disk = found.checkpoints
    kept = f"{disk['rolling']:,.2f} GB for the {disk['kept']} that are kept at a time"
    lines += ["", f"disk            {disk['full']:,.2f} GB a checkpoint, {kept}, {disk['export']:,.2f} GB the export"]
    lines += [f"note            {note}" for note in found.notes]
    return [*lines, "", *_verdict(found)]


def _checkpointed(setup: Setup) -> str:
    if not setup.checkpointing:
        return ""
    some = setup.checkpointed
    return "checkpointed" if some is None else f"{some} of {setup.shape.layers} layers checkpointed"


def _verdict(found: Plan) -> list[str]:
    if found.fits:
        return ["It fits."]
    lines = [
        f"It does not fit: {found.memory.total / GB:.1f} GB are needed, {found.machine.capacity / GB:.1f} GB are "
        "available."
    ]
    for change in found.advice:
        keys = ", ".join(f"{key}: {json.dumps(value)}" for key, value in change["set"].items())
        verdict = "it fits" if change["fits"] else "still too much"
        lines.append(f"  with {keys or 'no change that helps'}: {change['total_gb']:.1f} GB, {verdict}")
    if not any(change["fits"] for change in found.advice):
        lines.append("  use more GPUs (--gpus) or GPUs with more memory (--gpu)")
    return lines


def _known(value: float | None) -> str:
    if value is None:
        return "an unknown number of"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _hours(found: Plan) -> str:
    if found.hours is None:
        return "unknown: the length depends on Axolotl's own datasets,"
    if found.hours < 1:
        return f"{found.hours * 60:.1f} minutes"
    return f"{found.hours:,.1f} hours ({found.hours / 24:,.1f} days, {found.hours * found.machine.gpus:,.0f} GPU hours)"
