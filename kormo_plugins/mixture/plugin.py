"""Hook implementations of the mixture room."""

from __future__ import annotations

from collections.abc import Iterable

from kormo_plugins.hookspecs import Component, hookimpl

PACKING = "kormo_plugins.mixture.row_plans.packing:"
PARAMS = "kormo_plugins.mixture.params:"


@hookimpl
def kormo_packings() -> Iterable[Component]:
    """`best_fit`, `concat` and `pad`."""
    yield Component(
        "best_fit",
        f"{PACKING}best_fit",
        "each document in the fullest row with room for it, longest first; cuts only documents longer than a row",
        f"{PARAMS}BestFitParams",
        "Ding et al. 2024, arXiv 2404.10830",
    )
    yield Component(
        "concat",
        f"{PACKING}concat",
        "concatenates the documents and cuts the stream into rows",
        f"{PARAMS}ConcatParams",
        "GPT-3, and KORMo's published data path",
    )
    yield Component("pad", f"{PACKING}pad", "one document per row, the rest padding", f"{PARAMS}PadParams")


@hookimpl
def kormo_mixings() -> Iterable[Component]:
    """`weighted`."""
    yield Component(
        "weighted",
        "kormo_plugins.mixture.sampling.schedule:weighted",
        "mixes sources by shares of tokens, exact to within one row at every step",
        f"{PARAMS}WeightedParams",
        "Tijdeman 1980; Baruah et al. 1996",
    )


@hookimpl
def kormo_collators() -> Iterable[Component]:
    """`document_mask`, `causal` and `flex`."""
    collators = "kormo_plugins.mixture.batches.collators:"
    yield Component(
        "document_mask",
        f"{collators}document_mask",
        "documents of a row do not attend to each other: restarted positions, no dense mask",
        f"{PARAMS}DocumentMaskParams",
    )
    yield Component(
        "causal",
        f"{collators}causal",
        "documents of a row attend to each other as one text, for the ablation",
        f"{PARAMS}CausalParams",
    )
    yield Component(
        "flex",
        f"{collators}flex",
        "documents of a row do not attend to each other: a FlexAttention block mask",
        f"{PARAMS}CollatorParams",
        "Dong et al. 2024, arXiv 2412.05496",
    )
