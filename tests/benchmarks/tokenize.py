"""Text tokenized to shards, in megabytes per second of processor time, against datatrove's DocumentTokenizer.

Both read the same documents from memory, encode them with one tokenizer (32,000 entries, trained here;
Qwen2's split, byte level, NFC), append an end token and write ids and document ends to disk, on one thread.
The ids must be equal.
"""

from __future__ import annotations

if __name__ != "__main__":  # this folder comes first on the path: `import tokenize` means the standard library's
    import importlib.util
    import sys
    import sysconfig

    _spec = importlib.util.spec_from_file_location(__name__, f"{sysconfig.get_path('stdlib')}/tokenize.py")
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[__name__] = _module
    _spec.loader.exec_module(_module)

import json
import os
import tempfile
from pathlib import Path

END = "<|EOS|>"


def train(texts: list[str], folder: Path) -> Path:
    """A byte-level BPE like KORMo's, of 32,000 entries."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts[::2], trainers.BpeTrainer(vocab_size=32_000, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_tokens([AddedToken("\n" * n, normalized=False) for n in range(2, 32)])
    tokenizer.add_special_tokens([END])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def main() -> None:
    import measure
    import numpy as np

    texts, kind = measure.real_text()
    from datatrove.data import Document as PeerDocument
    from datatrove.pipeline.tokens import DocumentTokenizer

    from kormo_plugins.documents.document import Document
    from kormo_plugins.shards.reader import Shards
    from kormo_plugins.shards.tokenize import tokenize_source

    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as root:
        folder = train(texts, Path(root) / "tokenizer")
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
        end = next(token["id"] for token in added if token["content"] == END)
        runs = iter(range(99))

        def ours() -> Path:
            out = Path(root) / f"ours-{next(runs)}"
            documents = (Document(str(n), text) for n, text in enumerate(texts))
            manifest = tokenize_source(documents, folder, out, source="benchmark", eos_id=end)
            assert manifest["encoder"] in ("gigatoken", "tiktoken")
            return out

        def peer() -> Path:
            out = Path(root) / f"peer-{next(runs)}"
            step = DocumentTokenizer(
                str(out),
                str(folder / "tokenizer.json"),
                eos_token=END,
                shuffle_documents=False,
                batch_size=1000,
            )
            for _ in step.run((PeerDocument(text, str(n)) for n, text in enumerate(texts)), 0, 1) or ():
                pass
            return out

        our_rate = megabytes / measure.seconds(ours, 2)
        peer_rate = megabytes / measure.seconds(peer, 1)
        shards = Shards(ours())
        mine = np.concatenate(shards.ids)
        theirs = np.concatenate([np.fromfile(f, "<u2") for f in sorted(peer().glob("*.ds"))])
        same = np.array_equal(mine, theirs)
    print(f"{megabytes:.1f} MB ({kind}), {len(mine):,} tokens; ids identical: {same}")
    if not same:
        raise SystemExit("the ids differ: the rates mean nothing")
    measure.result("tokenize", "MB/s/core", our_rate, peer_rate, "datatrove DocumentTokenizer")


if __name__ == "__main__":
    main()
