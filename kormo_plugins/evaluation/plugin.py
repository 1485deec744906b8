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
