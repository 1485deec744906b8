"""Applies a step with different parameters, or not at all, to the documents of some domains.

    - name: per_domain
      step: {name: korean}
      domains:
        lyrics.example: off
        "*.exam.example": {min_sentences: 0.05}

Songs, exams and chats fail thresholds made for prose. The report page (`kormo data report`) shows which domains lose
how many documents, and why; this step exempts them one by one, and is part of the corpus's identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from kormo_plugins.corpus.comparisons import writes
from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.reports.domains import domain_of
from kormo_plugins.corpus.step import DocumentStep, MetaUse, is_source_step
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import Faults, KormoError
from kormo_plugins.hookspecs import HasInputs, HasWarnings
from kormo_plugins.plugins.choice import Choice
from kormo_plugins.plugins.parameters import current_names
from kormo_plugins.plugins.registry import registry


class PerDomainParams(Strict):
    """The step, and its parameters by domain."""

    step: Choice = Field(description="a document step (not a source step), with its parameters for all other domains")
    domains: dict[str, dict[str, object] | Literal["off"]] = Field(
        min_length=1,
        description="domain (`*` matches anything) -> parameters that differ, or `off`; the first match applies",
    )
    key: str = Field(default="url", description="key of `meta` with the document's URL or domain")

    @field_validator("domains", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        """Accepts `false`, because YAML 1.1 reads `off` as false."""
        if isinstance(value, dict):
            return {name: "off" if given is False else given for name, given in value.items()}
        return value

    @field_validator("step")
    @classmethod
    def _current_step(cls, step: Choice) -> Choice:
        return Choice(name=step.name, **_current(step.name, step.values, "step"))

    @field_validator("domains")
    @classmethod
    def _current_domains(
        cls, domains: dict[str, dict[str, object] | Literal["off"]], info: ValidationInfo
    ) -> dict[str, dict[str, object] | Literal["off"]]:
        if "step" not in info.data:  # validated separately
            return domains
        name = info.data["step"].name
        return {
            domain: given if given == "off" else _current(name, given, f"domains.{domain}")
            for domain, given in domains.items()
        }

    @model_validator(mode="after")
    def _makeable(self) -> PerDomainParams:
        """A step that is not known, or parameters that it does not take, are refused before anything is read."""
        _class(self.step.name)
        for place, values in self._by_place().items():
            _params(self.step.name, values, place)
        return self

    def _by_place(self) -> dict[str, dict[str, object]]:
        """Key of these parameters -> the step's parameters there."""
        domains = {f"domains.{name}": given for name, given in self.domains.items() if given != "off"}
        return {"step": self.step.values} | {key: {**self.step.values, **given} for key, given in domains.items()}

    def reads(self) -> tuple[MetaUse, ...]:
        """The address, without which no domain is known."""
        why = "without an address no domain is known, so `domains` would apply to nothing"
        return (MetaUse("key", self.key, why),)

    def writes(self) -> frozenset[str] | None:
        """What the step writes."""
        return writes(_params(self.step.name, self.step.values, "step"))

    def warnings(self) -> list[str]:
        """What the step leaves undone, elsewhere and for each domain."""
        places: dict[str, str] = {}
        for key, values in self._by_place().items():
            params = _params(self.step.name, values, key)
            for why in params.warnings() if isinstance(params, HasWarnings) else ():
                places.setdefault(why, key)
        return [f"{key} ({self.step.name}): {why}" for why, key in places.items()]


class PerDomain:
    """Runs the step with the parameters of the document's domain."""

    VERSION = 1

    def __init__(self, params: PerDomainParams) -> None:
        self.params = params
        self.elsewhere = _made(params.step.name, params.step.values)
        self.switched = {
            name: None if given == "off" else _made(params.step.name, {**params.step.values, **given})
            for name, given in params.domains.items()
        }

    @staticmethod
    def inputs(params: PerDomainParams) -> object:
        """Version and inputs of the step."""
        make = _class(params.step.name)
        values = [params.step.values]
        values += [{**params.step.values, **given} for given in params.domains.values() if given != "off"]
        step_inputs = (
            [make.inputs(_params(params.step.name, given)) for given in values] if isinstance(make, HasInputs) else []
        )
        return {"version": make.VERSION, "inputs": step_inputs}

    def __call__(self, document: Document) -> Document | Reject:
        domain = domain_of(str(document.meta.get(self.params.key, "")))
        for pattern, step in self.switched.items():
            if fnmatchcase(domain, pattern) or (pattern.startswith("*.") and domain == pattern[2:]):
                return step(document) if step else document
        return self.elsewhere(document)


def _current(name: str, values: Mapping[str, object], key: str) -> dict[str, object]:
    """The step's parameters under their current names, so that a domain's value overrides the default even if the two
    use different names."""
    components = registry()
    if name not in components.names("corpus_step"):  # loading it will raise an error that lists the valid names
        return dict(values)
    faults = Faults()
    current = current_names(components.model("corpus_step", name), values, f"step per_domain: {key}", faults)
    faults.raise_any()
    return current


def _class(name: str) -> Any:
    make = registry().load("corpus_step", name, "step per_domain: step")
    if is_source_step(make) or name == "per_domain":
        raise KormoError(
            where="step per_domain: step",
            found=name,
            why="it decides on a whole source, not on single documents",
            do="name a document step",
        )
    return make


def _params(name: str, values: dict[str, object], key: str = "step") -> object:
    return registry().params("corpus_step", name, values, f"step per_domain: {key}")


def _made(name: str, values: dict[str, object]) -> DocumentStep:
    step: DocumentStep = _class(name)(_params(name, values))
    return step
