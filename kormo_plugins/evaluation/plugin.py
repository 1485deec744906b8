"""Hook implementations of the evaluation room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_evaluation_tasks() -> Iterator[Component]:
    """The evaluation tasks of this room."""
    yield Component(
        "korean",
        load="kormo_plugins.evaluation.catalogue:korean_folder",
        summary="k2_eval, kobalt, kr_clinical_qa: Korean benchmarks of the model card that the harness lacks",
        source="KORMo, arXiv 2510.09426; prompts ours",
    )
    yield Component(
        "mini",
        load="kormo_plugins.evaluation.catalogue:mini_folder",
        summary="choice, cloze, reading, arithmetic, instructions in Korean and English; needs no data",
    )
    yield Component(
        "instructions",
        load="kormo_plugins.evaluation.catalogue:instructions_folder",
        summary="instruction following checked by program: IFEval, and 25 kinds of Korean constraints",
        source="Zhou et al., arXiv 2311.07911; Korean prompts ours",
    )
    yield Component(
        "generated",
        load="kormo_plugins.evaluation.catalogue:generated_folder",
        summary="KMMLU-Pro, KMMLU-Redux, KoSimpleQA and HRM8K answered in words; pass@k",
        source="LG AI Research; arXiv 2510.18368; HAERAE; prompts ours",
    )
