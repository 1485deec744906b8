"""A judged suite: questions, answer settings and judge, as a short YAML file.

    kormo eval RUN --suite judged --judge http://localhost:8000/v1 --judge-model Qwen/Qwen3-30B-A3B

Bundled suites are in `suites/`. `--suite mine.yml` takes any file whose `kind` is `judged`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.generation.batches import Sampling
from kormo_plugins.plugins.choice import Strict
from kormo_plugins.plugins.registry import checked

FOLDER = Path(__file__).parent / "suites"


class AnswerSettings(Strict):
    """Sampling settings of the evaluated model."""

    max_tokens: int = Field(
        default=1024, ge=1, description="maximum length of an answer, in tokens; a longer one is cut"
    )
    temperature: float = Field(default=0.0, ge=0, description="sampling temperature of the answers; 0: greedy decoding")
    top_p: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="nucleus sampling: cumulative probability of the tokens that are sampled from",
    )
    seed: int = Field(default=0, description="seed of the sampling")

    def sampling(self) -> Sampling:
        """As `Sampling` of the decoder."""
        return Sampling(self.max_tokens, self.temperature, self.top_p, self.seed)


class JudgeSettings(Strict):
    """The judge: either an endpoint (`url` and `model`) or a local checkpoint (`checkpoint`)."""

    url: str | None = Field(default=None, pattern="^https?://", description="base URL of an OpenAI-compatible endpoint")
    model: str | None = Field(default=None, description="name of the judge model at the endpoint")
    checkpoint: Path | None = Field(default=None, description="folder of a chat model that judges on this machine")
    key_variable: str | None = Field(
        default="OPENAI_API_KEY",
        description="environment variable that holds the API key, required for endpoints on another machine; null: no "
        "key",
    )
    temperature: float = Field(default=0.0, ge=0, description="sampling temperature of the judge; 0: greedy decoding")
    max_tokens: int = Field(
        default=1024, ge=1, description="maximum length of a verdict, in tokens; a longer one is counted as unreadable"
    )
    concurrency: int = Field(default=8, ge=1, description="maximum number of concurrent requests")
    per_minute: float | None = Field(default=None, gt=0, description="maximum requests per minute; null: no limit")
    timeout: float = Field(default=120.0, gt=0, description="timeout of a request, in seconds")
    retries: int = Field(default=5, ge=0, description="retries of a failed request")
    backoff: float = Field(
        default=1.0, ge=0, description="seconds before the first retry, doubled for each further one"
    )


class JudgedSuite(Strict):
    """A judged suite."""

    kind: Literal["judged"] = Field(description="kind of suite, which distinguishes it from a suite of harness tasks")
    title: str = Field(description="title in tables and reports")
    questions: str = Field(
        default="own",
        description="`own`: the forty tasks of this package; otherwise the name of a folder under `--data`",
    )
    layout: Literal["mt_bench", "logickor"] = Field(
        default="mt_bench",
        description="prompt of the judge and format of its verdict: mt_bench with `[[n]]`, logickor with `점수: n`",
    )
    repeats: int = Field(default=2, ge=1, description="verdicts per answer, each with another seed of the judge")
    answers: AnswerSettings = Field(
        default_factory=AnswerSettings, description="sampling settings of the evaluated model"
    )
    judge: JudgeSettings = Field(default_factory=JudgeSettings, description="the judge and its requests")
    check_judge: bool = Field(
        default=True, description="also have the judge compare planted answers, to measure its bias"
    )
    max_requests: int = Field(
        default=1000, ge=1, description="number of requests to an endpoint above which `--yes` is required"
    )
    human: Path | None = Field(
        default=None,
        description="human-written Korean text (.txt, .md, .jsonl) whose statistics are shown beside those of the "
        "answers; null: none",
    )
    cache: Path = Field(
        default=Path("artifacts/answers"), description="folder in which answers and verdicts are cached by their hash"
    )
    published: str | None = Field(
        default=None, description="row of published.yml with which the score is compared; null: none"
    )


def judged_names() -> list[str]:
    """Names of the bundled judged suites."""
    return sorted(path.stem for path in FOLDER.glob("*.yml"))


def is_judged(name: str) -> bool:
    """Whether a name or a file is a judged suite; False for a file that cannot be read, which `load_suite` reports."""
    if not name.endswith((".yml", ".yaml")):
        return name in judged_names()
    try:
        values = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return False
    return isinstance(values, dict) and values.get("kind") == "judged"


def load_judged(name: str) -> JudgedSuite:
    """Loads a judged suite by name or path.

    Raises:
        KormoError: an unknown key, or an invalid value.
    """
    path = Path(name) if name.endswith((".yml", ".yaml")) else FOLDER / f"{name}.yml"
    suite: JudgedSuite = checked(JudgedSuite, yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    return suite


def with_judge(suite: JudgedSuite, judge: str | None, model: str | None) -> JudgedSuite:
    """The suite with the judge given on the command line: an address, a folder, or `none`.

    Raises:
        KormoError: a model name without an endpoint, or a folder that does not exist.
    """
    values: dict[str, str | Path | None] = {}
    if judge is not None and judge.startswith(("http://", "https://")):
        values = {"url": judge, "checkpoint": None}
    elif judge is not None and judge != "none":
        if not Path(judge).is_dir():
            raise KormoError(
                where="kormo eval: --judge",
                found=judge,
                why="it is neither an address (http://…) nor a folder",
                do="name an OpenAI-compatible endpoint, the folder of a chat model, or none",
            )
        values = {"url": None, "checkpoint": Path(judge)}
    elif judge == "none":
        values = {"url": None, "checkpoint": None}
    if model is not None:
        values["model"] = model
    merged = suite.judge.model_copy(update=values)
    if merged.model is not None and merged.url is None and judge != "none" and model is not None:
        raise KormoError(
            where="kormo eval: --judge-model",
            found=model,
            why="only an endpoint takes a model name",
            do="pass --judge http://… too",
        )
    return suite.model_copy(update={"judge": merged})
