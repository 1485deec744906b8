"""Checks that an attention backend isolates the documents of a row, for each collator, and refuses others.

transformers finds document boundaries in `position_ids` for eager, sdpa and flex attention. Its FlashAttention path
does so only for a batch of one row, and silently ignores them for more, unless cu_seqlens are given. Across several
devices, ring attention ignores documents; Ulysses, which distributes the heads, keeps them apart.
"""

from __future__ import annotations

from kormo_plugins.errors import KormoError

LONGEST_DENSE = 1024
"""Row length up to which a dense mask on a GPU is allowed: a megabyte per row."""

BY_POSITIONS = frozenset({"eager", "sdpa", "sdpa_varlen", "flex_attention"})
"""Backends that isolate by restarting positions, at any batch size."""


BY_ULYSSES = frozenset({"sdpa", "flash_attention_2"})
"""Backends that isolate by positions when devices share rows and distribute heads (ringmaster's Ulysses)."""

ONE_DOCUMENT = frozenset({"pad"})
"""Packings with at most one document per row."""


def check_isolation(
    collator: str,
    params: object,
    attention: str,
    *,
    micro_batch: int,
    context_parallel: int = 1,
    ulysses: bool = False,
    packing: str = "best_fit",
    row_length: int = 0,
) -> None:
    """Refuses a recipe whose documents would attend to each other although its collator promises isolation.

    Args:
        collator: name of the collator; only built-in ones are checked.
        params: its parameters.
        attention: `attn_implementation`.
        micro_batch: rows per forward pass.
        context_parallel: devices that share one row.
        ulysses: whether each of them holds whole rows and a part of the heads.
        packing: name of the packing.
        row_length: tokens of a row; 0: unknown.
    Raises:
        KormoError: names the key to change.
    """
    if context_parallel > 1:
        if not ulysses:
            _check_ring(attention, context_parallel, packing)
        elif attention not in BY_ULYSSES:
            raise KormoError(
                where="attn_implementation",
                found=f"{attention} with context_parallel over {context_parallel} devices",
                why="with context parallelism it is not known to isolate the documents of a row",
                do=f"use one of: {', '.join(sorted(BY_ULYSSES))}",
            )
        _check_parts(collator, params, context_parallel, row_length)
        return
    if collator not in ("document_mask", "flex"):
        return
    flash = "flash" in attention
    if collator == "flex" and attention != "flex_attention":
        why, fix = (
            "only flex_attention reads a block mask",
            "set attn_implementation: flex_attention, or use the collator `document_mask`",
        )
    elif flash and (getattr(params, "cu_seqlens", False) or micro_batch == 1):
        return
    elif flash:
        why = f"it detects document boundaries only in a batch of one row, not of {micro_batch}"
        fix = "set kormo.collator.cu_seqlens: true, or micro_batch_size: 1"
    elif attention not in BY_POSITIONS:
        why, fix = "it is not known to isolate the documents of a row", f"use one of: {', '.join(sorted(BY_POSITIONS))}"
    else:
        return
    raise KormoError(where="attn_implementation", found=attention, why=why, do=fix)


def _check_ring(attention: str, devices: int, packing: str) -> None:
    """Ring attention: correct if each row has one document, whatever the collator; refused otherwise.

    It passes keys and values between devices under one causal mask for the whole row. That is sufficient for a row with
    a single document, because no predicted token attends to the padding after it.
    """
    if packing not in ONE_DOCUMENT:
        raise KormoError(
            where="context_parallel_size",
            found=f"{devices} with the packing {packing}",
            why="ring attention does not isolate documents: the documents of a row would attend to each other",
            do="set it to 1, or pack one document per row with kormo.data.packing: {name: pad}",
        )
    if "flash_attention_2" not in attention:
        raise KormoError(
            where="attn_implementation",
            found=f"{attention} with context_parallel_size {devices}",
            why="only flash_attention_2 supports ring attention",
            do="set attn_implementation: flash_attention_2",
        )


def _check_parts(collator: str, params: object, devices: int, row_length: int) -> None:
    """Checks common to all ways of sharing rows: each device gets an equal part of every row."""
    if collator == "flex" or getattr(params, "cu_seqlens", False):
        raise KormoError(
            where="context_parallel_size",
            found=f"{devices} with {'the collator flex' if collator == 'flex' else 'cu_seqlens: true'}",
            why="document boundaries refer to whole rows, but each device gets only a part of a row",
            do="use the collator `document_mask` without cu_seqlens",
        )
    if row_length % devices:
        raise KormoError(
            where="context_parallel_size",
            found=f"{devices} with rows of {row_length} tokens",
            why="a row cannot be divided evenly among the devices",
            do="set it to a divisor of sequence_len",
        )


def check_dense_masks(
    collator: str, attention: str, *, varlen: bool, compute: str, row_length: int, micro_batch: int
) -> str | None:
    """Refuses a recipe that would isolate documents on a GPU with dense masks over long rows.

    transformers expands positions into a mask [rows, 1, row_length, row_length]: its memory and the attention's FLOPs
    grow quadratically with the row, and no flash kernel accepts it. Called only if there is a GPU.

    Args:
        collator: name of the collator; only built-in ones are checked.
        attention: `attn_implementation`.
        varlen: `sdpa_varlen`, torch's variable-length attention, which runs in half precision.
        compute: dtype of matrix products.
        row_length: tokens of a row.
        micro_batch: rows per forward pass.
    Returns:
        A log line for short rows, where a dense mask is acceptable; None if there is nothing to report.
    Raises:
        KormoError: names the keys to change.
    """
    dense = attention == "eager" or (attention == "sdpa" and not (varlen and compute == "bfloat16"))
    if collator != "document_mask" or not dense:
        return None
    size = micro_batch * row_length**2 / 1e6
    if row_length <= LONGEST_DENSE:
        return (
            f"attention: documents are isolated by dense masks of {size:,.1f} MB; for longer rows set sdpa_varlen: true"
        )
    bfloat16 = "" if compute == "bfloat16" else " and kormo.precision.compute: bfloat16, which it requires"
    raise KormoError(
        where="attn_implementation",
        found=f"{attention} over rows of {row_length:,} tokens, on a GPU",
        why=f"documents would be isolated by dense masks ({size:,.0f} MB), at the cost of attention over the whole row",
        do=f"set attn_implementation: sdpa with sdpa_varlen: true{bfloat16}, or use flash_attention_2",
    )
