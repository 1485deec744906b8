"""Learning a byte-level BPE of 32,000 entries: our way (gigabpe, proof included) beside the tokenizers library's.

Each is a process of its own on the same text, some of which no process has seen before (`fresh_text`). The merges must
be equal. Printed are processor seconds and the peak of memory.

    python tests/benchmarks/bpe.py [--megabytes 12]        needs the extra `fast`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fresh_text
import measure


def one(way: str, size: int) -> None:
    """In a process of its own: prints seconds, memory and a hash of the merges."""
    from kormo_plugins.tokenizer import train
    from kormo_plugins.tokenizer.params import TokenizerParams

    texts = list(fresh_text.documents(fresh_text.korean()[0], size))
    params = TokenizerParams(vocab_size=32_000, shares={}, min_frequency=1)
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        if way == "ours":
            tokenizer, trainer = train._learn(lambda: iter(texts), params, Path(scratch))
            assert str(trainer["trainer"]).startswith("gigabpe"), trainer
        else:
            tokenizer = train._by_tokenizers(iter(texts), params, params.vocab_size)
    seconds = time.process_time() - begin
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    merges = hashlib.sha256(json.dumps(train._read_merges(tokenizer)).encode()).hexdigest()
    print(json.dumps({"seconds": seconds, "memory": memory, "merges": merges}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=12)
    parser.add_argument("--way", choices=("ours", "tokenizers"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        return one(options.way, round(options.megabytes * 1e6))
    found = {}
    for way in ("ours", "tokenizers"):
        command = [sys.executable, __file__, "--way", way, "--megabytes", str(options.megabytes)]
        environment = os.environ | {"PYTHONPATH": str(measure.ROOT)}
        found[way] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)
        print(f"{way}: {found[way]['seconds']:.2f} s of processor, {found[way]['memory']:.0f} MB above the text")
    if found["ours"]["merges"] != found["tokenizers"]["merges"]:
        raise SystemExit("the merges differ: the seconds mean nothing")
    ours, peer = found["ours"]["seconds"], found["tokenizers"]["seconds"]
    measure.result("bpe", "s of processor", ours, peer, "tokenizers BpeTrainer", lower=True)


if __name__ == "__main__":
    main()
