"""Trains a KORMo tokenizer: NFC, Qwen2's split with single digits, byte level, merges as by the tokenizers library.

Newline runs are added tokens, split off before anything else. They are therefore removed from the training text as
well: merges with two newlines could never be used and would waste vocabulary.

NFC is that of the library, whose Unicode tables are from 2016: it does not reorder the 98 combining marks added since.
A text with these is preserved, but two canonically equivalent forms may get different ids.

The result depends on the sampled text only: counts are summed, and ties between pairs are broken by their ids, so the
number of threads does not change the bytes.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.console.progress import Progress, watched
from kormo_plugins.errors import KormoError
from kormo_plugins.errors import size as amount
from kormo_plugins.store.atomic import replace, write_text
from kormo_plugins.store.json_file import write_json
from kormo_plugins.tokenizer.chat.template import chat_template
from kormo_plugins.tokenizer.layout import (
    CONTROL,
    MANIFEST,
    NEWLINE_RUNS,
    SPECIAL_TOKENS,
    byte_symbols,
    read_layout,
    tokenizer_hash,
)
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.training.budget import library_refusal
from kormo_plugins.tokenizer.training.merges import Merges, learn_merges, merges_are_counted_here
from kormo_plugins.tokenizer.training.pieces import disputed
from kormo_plugins.tokenizer.training.sample import (
    BINS,
    Census,
    Quota,
    Texts,
    caps,
    draw,
    plan_quotas,
    share_limit,
    statistics,
    take_census,
)
from kormo_plugins.tokenizer.training.spool import Spool
from kormo_plugins.wording.numbers import many

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LOG = logging.getLogger(__name__)
READING = "tokenizer: reading"
EXPANSION = 3
"""Bytes in NFC of a byte of text, at most. Each merge needs one, and trainers reserve memory for each entry."""
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # English contractions
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"  # letters, with at most one preceding other character (a space)
    r"|\p{N}"  # single digits
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"  # punctuation, with the following line end
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"  # spaces, except the last one, which belongs to the next word
    r"|\s+"
)
"""Qwen2's pre-tokenizer (arXiv 2407.10671), which KORMo uses unchanged."""


def train(texts: Texts, params: TokenizerParams, out: Path) -> dict[str, object]:
    """Trains a vocabulary and writes a folder that `AutoTokenizer.from_pretrained` opens, for a base model.

    Args:
        texts: returns the documents (called once); with `params.shares` they must be `Document`s, since a plain string
            has no language.
        out: the output folder, created if needed.
    Returns:
        The content of `kormo_tokenizer.json`: sizes, ids by role, the hash, and the sampled amounts.
    Raises:
        KormoError: no text, a language missing, too little text for the vocabulary, or more text than fits in memory or
            in the trainer's counters.
    """
    scratch = out if out.is_dir() else out.parent
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        with (
            Spool(Path(folder) / "sample.zst", caps(params), BINS) as spool,
            Progress(READING, unit="documents") as seen,
        ):
            census = take_census(lambda: watched(texts(), seen, lambda document: 1), params, spool)
        quotas = plan_quotas(census, params)
        refusal = library_refusal(census, quotas, params)
        if refusal and not merges_are_counted_here(params):
            raise refusal
        most = 256 + EXPANSION * sum(quota.size for quota in quotas.values())
        possible = params.model_copy(update={"vocab_size": min(params.vocab_size, most)})
        tokenizer, trainer = _learn(partial(draw, spool.texts, quotas, params), possible, Path(folder), refusal)
    learned = tokenizer.get_vocab_size(with_added_tokens=False)
    if learned < params.vocab_size:
        raise _too_few(learned, census, quotas, params)
    _complete(tokenizer)
    out.mkdir(parents=True, exist_ok=True)
    _write(tokenizer, out)
    layout = read_layout(out)
    result = {
        "format": 1,
        "role": "base",
        "eos_token_id": layout.eos,
        "vocab_size": layout.vocab_size,
        "size": layout.size,
        "rows": layout.rows(),
        "ids": {role: getattr(layout, role) for role, _ in SPECIAL_TOKENS},
        "newlines": list(layout.newlines),
        "hash": tokenizer_hash(out),
        "sample": statistics(census, quotas),
        "trainer": trainer,
        "params": params.model_dump(mode="json"),
    }
    write_json(out / MANIFEST, result)
    return result


def _too_few(learned: int, census: Census, quotas: dict[str, Quota], params: TokenizerParams) -> KormoError:
    """The refusal of a text with too few different tokens; if the shares leave most of it unused, they come first."""
    found = f"{params.vocab_size:,}, but this text yields only {learned:,} tokens ({_size(census, quotas)})"
    if limit := share_limit(census, params):
        return KormoError(
            where="tokenizer: shares",
            found=f"vocab_size {found}",
            why=limit.why,
            do=f"{limit.do}; vocab_size can be at most {learned:,} as it is",
        )
    return KormoError(
        where="tokenizer: vocab_size",
        found=found,
        why=f"a token of at most {params.max_token_length} bytes is learned if it occurs {params.min_frequency} "
        "times in words of this text, and there are no more of those",
        do=f"provide more text, raise megabytes if there is more, or set vocab_size to at most {learned:,}",
    )


def _size(census: Census, quotas: dict[str, Quota]) -> str:
    documents, size = census.documents.total(), sum(map(census.size, census.bins))
    used = sum(quota.size for quota in quotas.values())
    return f"{amount(used)}, from {amount(size)} in {many(documents, 'document')}"


def _learn(
    texts: Callable[[], Iterator[str]], params: TokenizerParams, scratch: Path, refusal: KormoError | None = None
) -> tuple[Tokenizer, dict[str, str | int]]:
    """The base vocabulary (256 bytes and the merges, without added tokens), and who trained it, with the verification.

    Args:
        refusal: why the tokenizers library cannot learn from these texts, if it cannot.
    """
    from tokenizers import models

    blank = _blank()
    learned = learn_merges(
        texts,
        params,
        disputed=lambda characters: disputed(characters, blank),
        reference=lambda sample, size: _read_merges(_by_tokenizers(sample, params, size)),
        scratch=scratch,
        library_fits=refusal is None,
    )
    if isinstance(learned, str):
        if refusal:
            LOG.warning("tokenizer: only the library tokenizers can learn the merges: %s", learned)
            raise refusal
        LOG.info("tokenizer: the library tokenizers learns the merges: %s", learned)
        tokenizer = _by_tokenizers(texts(), params, params.vocab_size)
        trainer: dict[str, str | int] = {"trainer": f"tokenizers {version('tokenizers')}", "reason": learned}
    else:
        vocabulary = {symbol: number for number, symbol in enumerate(sorted(byte_symbols()))}
        for left, right in learned.merges:
            vocabulary.setdefault(left + right, len(vocabulary))
        tokenizer, trainer = blank, learned.proof
        tokenizer.model = models.BPE(vocabulary, learned.merges)
    tokenizer.pre_tokenizer = _sequence(_pre_tokenizers())
    return tokenizer, trainer


def _blank() -> Tokenizer:
    """The untrained tokenizer, which splits off newline runs."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    runs = pre_tokenizers.Split(Regex(r"\n{2,}"), behavior="removed")
    tokenizer.pre_tokenizer = _sequence([runs, *_pre_tokenizers()])
    return tokenizer


def _by_tokenizers(texts: Iterable[str], params: TokenizerParams, vocab_size: int) -> Tokenizer:
    """Trains with the tokenizers library."""
    from tokenizers import trainers

    tokenizer = _blank()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=params.min_frequency,
            max_token_length=params.max_token_length + 1,  # the library stops below its limit
            initial_alphabet=byte_symbols(),
            special_tokens=[],
            show_progress=False,
        ),
    )
    return tokenizer


def _read_merges(tokenizer: Tokenizer) -> Merges:
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def _sequence(parts: list[object]) -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Sequence(parts)


def _pre_tokenizers() -> list[object]:
    from tokenizers import Regex, pre_tokenizers

    return [
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]


def _complete(tokenizer: Tokenizer) -> None:
    """Adds the 41 tokens after the base vocabulary, the decoder, and the leading `<|BOS|>`."""
    from tokenizers import AddedToken, decoders, processors

    tokenizer.add_tokens([AddedToken(run, normalized=False, special=False) for run in NEWLINE_RUNS])
    for role, token in SPECIAL_TOKENS:  # one by one, in the published order
        added = AddedToken(token, normalized=False, special=role in CONTROL)
        (tokenizer.add_special_tokens if role in CONTROL else tokenizer.add_tokens)([added])
    bos = dict(SPECIAL_TOKENS)["bos"]
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )


def _write(tokenizer: Tokenizer, out: Path) -> None:
    names = dict(SPECIAL_TOKENS)
    replace(out / "tokenizer.json", lambda unfinished: tokenizer.save(str(unfinished)))
    write_text(out / "chat_template.jinja", chat_template())
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": names["bos"],
            "eos_token": names["eos"],
            "pad_token": names["pad"],
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )
