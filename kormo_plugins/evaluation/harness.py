"""Types of the parts of lm-evaluation-harness that we use; it declares few itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NotRequired, Protocol, TypedDict

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Split = Literal["test_split", "validation_split", "training_split", "fewshot_split"]


class Rule(TypedDict, total=False):
    """How a group aggregates the scores of its tasks."""

    weight_by_size: bool


class Config(TypedDict, total=False):
    """The keys that we read of a task's or group's configuration, with the overrides of its parent groups."""

    dataset_path: str | None
    dataset_name: str | None
    custom_dataset: Callable[..., object] | None
    process_docs: Callable[[object], object] | None
    metadata: Mapping[str, object] | None
    test_split: str | None
    validation_split: str | None
    training_split: str | None
    fewshot_split: str | None
    num_fewshot: int | None
    task: Sequence[str | Config]
    aggregate_metric_list: Rule | list[Rule] | None


class AnswerSettings(TypedDict, total=False):
    """Sampling settings and stop words of an answer."""

    until: list[str]
    max_gen_toks: int
    do_sample: bool
    temperature: float
    top_p: float


Arguments = tuple[str, AnswerSettings]
"""Of a request for generated text: prompt and settings."""


class Instance(Protocol):
    """One request to a model: `args` are text and settings, `doc` is its dataset row."""

    args: tuple[object, ...]
    doc: object


class Request(Protocol):
    """A request for generated text."""

    args: Arguments


class GenerationSettings(TypedDict, total=False):
    """A task's settings of generated answers."""

    max_gen_toks: int
    max_new_tokens: int


class Task(Protocol):
    """A task with its dataset loaded (`lm_eval.api.task.ConfigurableTask`)."""

    OUTPUT_TYPE: str

    @property
    def instances(self) -> Sequence[Instance]:
        """Its requests, once they are built."""
        ...

    def dump_config(self) -> Mapping[str, object]:
        """Its configuration as JSON types."""
        ...

    def set_fewshot_seed(self, seed: int) -> None:
        """Sets the seed of the few-shot examples."""
        ...

    def build_all_requests(
        self,
        *,
        limit: int | None,
        rank: int,
        world_size: int,
        apply_chat_template: bool,
        fewshot_as_multiturn: bool,
        chat_template: Callable[..., str] | None,
        tokenizer_name: str,
    ) -> None:
        """Fills `instances`."""
        ...

    def get_config(self, key: str) -> object:
        """One key of its configuration."""
        ...


class Model(Protocol):
    """A model that answers a task's requests and records which answers ended with an end token."""

    max_gen_toks: int

    def speak(self, chat: bool) -> None:
        """Sets whether the next prompts are rendered with the chat template."""
        ...

    def ended(self, prompt: str, new: int) -> bool:
        """Whether the answer to a prompt, of up to `new` tokens, ended with an end token."""
        ...


class LocalModel(Model, Protocol):
    """A model with its weights on this machine (`evaluation.models.model.Model`)."""

    @property
    def model(self) -> PreTrainedModel:
        """The weights."""
        ...

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end an answer."""
        ...

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> object:
        """Log-likelihood of each continuation in nats, and whether it is the greedy one."""
        ...

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> object:
        """Log-likelihood of whole texts."""
        ...


class IndexEntry(TypedDict):
    """A name in the harness's index.

    Args:
        type: `task`, `group`, `tag`, or `python_task`.
        yaml_path: its file; -1: it is defined inside another file.
        task: the task names of a tag.
    """

    type: str
    yaml_path: str | Literal[-1]
    task: NotRequired[list[str]]


class Index(Protocol):
    """`lm_eval.tasks.TaskManager`."""

    @property
    def task_index(self) -> Mapping[str, IndexEntry]:
        """Every name."""
        ...


def generation_settings(task: Task) -> GenerationSettings:
    """A task's `generation_kwargs`; empty if unset."""
    configured = task.get_config("generation_kwargs")
    settings: GenerationSettings = {}
    if isinstance(configured, Mapping):
        if value := configured.get("max_gen_toks"):
            settings["max_gen_toks"] = int(value)
        if value := configured.get("max_new_tokens"):
            settings["max_new_tokens"] = int(value)
    return settings
