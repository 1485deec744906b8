"""Hook implementations of the architecture room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_architectures() -> Iterator[Component]:
    """The architectures of this room."""
    yield Component(
        "kormo",
        load="kormo_plugins.architecture.family:KORMO",
        params="kormo_plugins.architecture.shape:KormoArchitecture",
        summary="pre-norm decoder with GQA, RoPE, RMSNorm, SwiGLU: Llama's mathematics, KORMo's names",
        source="KORMo, arXiv 2510.09426; Llama 3, arXiv 2407.21783",
    )
    yield Component(
        "kormo_qk_norm",
        load="kormo_plugins.architecture.variants.families:QK_NORM",
        params="kormo_plugins.architecture.variants.params:QkNormArchitecture",
        summary="kormo with RMSNorm on queries and keys; its plain form is Qwen3",
        source="Henry et al. 2020, arXiv 2010.04245; Qwen3, arXiv 2505.09388",
    )
    yield Component(
        "kormo_post_norm",
        load="kormo_plugins.architecture.variants.families:POST_NORM",
        params="kormo_plugins.architecture.variants.params:PostNormArchitecture",
        summary="RMSNorm on the outputs of attention and MLP instead of their inputs; its plain form is OLMo 2",
        source="OLMo 2, arXiv 2501.00656",
    )
    yield Component(
        "kormo_mix_ln",
        load="kormo_plugins.architecture.variants.families:MIX_LN",
        params="kormo_plugins.architecture.variants.params:MixLnArchitecture",
        summary="Post-LN in the first layers, pre-norm in the others; has no Llama form",
        source="Mix-LN, Li et al. 2024, arXiv 2412.13795",
    )
    yield Component(
        "kormo_mtp",
        load="kormo_plugins.architecture.variants.families:MTP",
        params="kormo_plugins.architecture.variants.params:MtpArchitecture",
        summary="kormo with multi-token prediction in training; its plain form is Llama without the extra heads",
        source="Gloeckle et al. 2024, arXiv 2404.19737",
    )
    yield Component(
        "kormo_moe",
        load="kormo_plugins.architecture.variants.families:MOE",
        params="kormo_plugins.architecture.variants.params:MoeArchitecture",
        summary="kormo with a mixture of experts, from scratch or upcycled from a dense model; its plain form is "
        "Mixtral",
        source="Mixtral, arXiv 2401.04088; sparse upcycling, Komatsuzaki et al. 2022, arXiv 2212.05055",
    )
