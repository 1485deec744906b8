"""Monitors the diversity and language of the model's continuations of fixed prompts.

A model trained on synthetic text may start to repeat it, lose diversity, or mix languages, while its loss keeps falling
(Shumailov et al. 2024, Nature 631; KORMo trains on the text of a single generator to demonstrate it). The same prompts
are continued with the same random numbers at every evaluation, so that only the model changes.

    distinct_n       distinct n-grams of words divided by all n-grams, over all continuations of a language
    self_bleu        BLEU of each continuation against the others of its language; higher is less diverse
    repetition       share of the 4-grams of a continuation that occurred in it before (seq-rep-4, Welleck et
                     al. 2019, arXiv 1908.04319)
    entropy          mean entropy of the next-token distribution at generated tokens, in bits, at temperature 1
    right_script     share of letters in the prompt's script: Hangul after Korean, Latin after English
    length           mean number of tokens before the end token or the limit
    ended            share of the continuations with an end token

All ranks generate the same texts, since a sharded model needs all ranks for every token; rank 0 writes them to
`samples.jsonl`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kormo_plugins.console.rank import group_rank
from kormo_plugins.errors import KormoError
from kormo_plugins.measures.diversity import distinct, self_bleu
from kormo_plugins.monitoring.monitor import Monitor, RunView
from kormo_plugins.monitoring.params import CollapseParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel


SAMPLES_FILE = "samples.jsonl"
SCRIPTS = {
    "ko": ("HANGUL",),
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "zh": ("CJK",),
    "ru": ("CYRILLIC",),
    "uk": ("CYRILLIC",),
    "el": ("GREEK",),
    "ar": ("ARABIC",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "th": ("THAI",),
}
"""Language -> prefix of the Unicode names of its letters; default: Latin."""
RUN = 4
"""n of the n-grams of `repetition`."""


@dataclass(frozen=True)
class Continuation:
    """The model's continuation of a prompt.

    Args:
        ids: tokens without the end token.
        ended: whether the end token was generated.
        entropy: of the next-token distribution at each position, in bits.
    """

    language: str
    prompt: str
    ids: list[int]
    ended: bool
    entropy: list[float]
    text: str = ""


class Collapse(Monitor):
    """Logs `collapse/MEASURE/LANGUAGE`, and writes the continuations to a file."""

    name = "collapse"

    def __init__(self, params: CollapseParams) -> None:
        super().__init__(params.every_steps)
        self.params = params
        self.tokenizer: Any = None

    def open(self, run: RunView) -> None:
        """Loads the tokenizer.

        Raises:
            KormoError: no tokenizer of ours.
        """
        from tokenizers import Tokenizer

        super().open(run)
        if run.tokenizer is None or "eos" not in run.special:
            raise KormoError(
                where="kormo.monitor.collapse",
                found="no tokenizer prepared by kormo-plugins",
                why="prompts and continuations are encoded with it",
                do="set kormo.tokenizer, or kormo.monitor.collapse: null",
            )
        self.tokenizer = Tokenizer.from_file(str(run.tokenizer / "tokenizer.json"))

    def measure(self, model: PreTrainedModel, step: int) -> dict[str, float]:
        """The measures of every language."""
        assert self.run is not None
        written = self._write(model)
        if group_rank()[0] == 0:
            self._keep(step, written)
        metrics: dict[str, float] = {}
        for language in self.params.prompts:
            continuations = [one for one in written if one.language == language]
            metrics |= {
                f"collapse/{name}/{language}": value for name, value in measures(language, continuations).items()
            }
        return metrics

    def _write(self, model: PreTrainedModel) -> list[Continuation]:
        assert self.run is not None
        special, params = self.run.special, self.params
        language_prompts = [
            (language, prompt)
            for language, prompts in params.prompts.items()
            for prompt in prompts
            for _ in range(params.samples)
        ]
        start = [special["bos"]] if "bos" in special else []
        ids = [start + self.tokenizer.encode(prompt, add_special_tokens=False).ids for _, prompt in language_prompts]
        longest = min(params.tokens, self.run.sequence_len - max(map(len, ids)))
        written, entropies = generate(
            model,
            ids,
            max(1, longest),
            temperature=params.temperature,
            seed=self.run.seed,
            eos=special["eos"],
            pad=special.get("pad", special["eos"]),
        )
        found = []
        for (language, prompt), tokens, entropy in zip(language_prompts, written, entropies, strict=True):
            ended = special["eos"] in tokens
            kept = tokens[: tokens.index(special["eos"])] if ended else tokens
            text = self.tokenizer.decode(kept, skip_special_tokens=True)
            found.append(Continuation(language, prompt, kept, ended, entropy[: len(kept) + ended], text))
        return found

    def _keep(self, step: int, written: Sequence[Continuation]) -> None:
        """Writes one continuation per prompt; a repeated step writes its lines again."""
        assert self.run is not None
        with (self.run.output_dir / SAMPLES_FILE).open("a", encoding="utf-8") as file:
            for one in written[:: self.params.samples]:
                line = {"step": step, "language": one.language, "prompt": one.prompt, "text": one.text}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def make(params: CollapseParams) -> Collapse:
    """The run callback `collapse`."""
    return Collapse(params)


def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    *,
    temperature: float,
    seed: int,
    eos: int,
    pad: int,
) -> tuple[list[list[int]], list[list[float]]]:
    """Samples `tokens` ids after each prompt, in one batch; does not use the global random state.

    Continues after the end token, so that all ranks run the model equally often; the caller truncates.

    Args:
        model: a causal language model in evaluation mode.
        prompts: ids of each prompt, of any lengths.
        temperature: of the sampling.
        seed: of the random numbers, which are drawn on the CPU, so that they do not depend on the device.
        eos: the end token.
        pad: padding id, used on the left.
    Returns:
        ids, and the entropies (bits, at temperature 1) of the distributions that they were sampled from.
    """
    import torch

    device = next(model.parameters()).device
    dice = torch.Generator().manual_seed(seed)
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    places = (mask.cumsum(1) - 1).masked_fill(mask == 0, 1)
    cache, drawn, entropies = None, [], []
    for _ in range(tokens):
        out = model(input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True)
        logits, cache = out.logits[:, -1].float().cpu(), out.past_key_values
        logp = logits.log_softmax(-1)
        entropies.append(-(logp.exp() * logp).nan_to_num(0.0).sum(-1) / torch.log(torch.tensor(2.0)))
        chances = (logits / temperature).softmax(-1)
        # One random number per text and token, independent of the other texts: inverse transform sampling.
        point = torch.rand(len(prompts), 1, generator=dice, dtype=torch.float64)
        chosen = (chances.double().cumsum(-1) < point).sum(-1).clamp(max=chances.shape[-1] - 1)
        drawn.append(chosen)
        ids = chosen[:, None].to(device)
        mask = torch.cat([mask, torch.ones_like(ids)], 1)
        places = places[:, -1:] + 1
    return torch.stack(drawn, 1).tolist(), torch.stack(entropies, 1).tolist()


def measures(language: str, written: Sequence[Continuation]) -> dict[str, float]:
    """The measures of one language; see the module docstring."""
    texts = [one.text for one in written]
    entropy = [value for one in written for value in one.entropy]
    metrics = {
        "distinct_2": distinct(texts, 2),
        "distinct_4": distinct(texts, 4),
        "self_bleu": self_bleu(texts),
        "repetition": _mean([repetition(one.ids) for one in written]),
        "entropy": _mean(entropy),
        "length": _mean([len(one.ids) for one in written]),
        "ended": _mean([one.ended for one in written]),
    }
    share = script_share(texts, language)
    return metrics if share is None else {**metrics, "right_script": share}


def repetition(ids: Sequence[int]) -> float:
    """Share of the 4-grams that occurred in the text before; 0 for a text of less than 4 tokens."""
    runs = [tuple(ids[i : i + RUN]) for i in range(len(ids) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def script_share(texts: Iterable[str], language: str) -> float | None:
    """Share of letters in the language's script; None without letters."""
    beginnings = SCRIPTS.get(language.split("-")[0].lower(), ("LATIN",))
    letters = [c for text in texts for c in text if c.isalpha()]
    in_script = sum(unicodedata.name(c, "").startswith(beginnings) for c in letters)
    return in_script / len(letters) if letters else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
