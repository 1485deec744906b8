"""The peer of `pipeline.py`: datatrove's blocks for the same job, on the same files."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from white_space import at_white_space


def processor() -> float:
    """Processor seconds of this process and of its workers that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


@at_white_space()
def peer(folder: Path, drops: bool) -> None:
    """In a process of its own: datatrove on the same files."""
    from datatrove.pipeline import filters
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader, ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logger.remove()
    out, tokenizer = folder / "peer", folder / "tokenizer/tokenizer.json"

    def run(label: str, *blocks: Any, ranks: int = 1) -> None:
        before, number = processor(), 0
        for rank in range(ranks):
            data: Any = None
            for block in blocks:
                data = block(data, rank, ranks)
            number += sum(1 for _ in data or ())
        label += f" ({number} documents)" if number else ""
        print(json.dumps({"stage": label, "seconds": round(processor() - before, 3)}))

    packed = list((folder / "input").glob("*.parquet"))
    read = (ParquetReader if packed else JsonlReader)(str(folder / "input"))
    quality = [
        filters.GopherRepetitionFilter(),
        filters.GopherQualityFilter(min_stop_words=0, min_avg_word_length=1, max_avg_word_length=100),
        filters.C4QualityFilter(filter_no_terminal_punct=False, min_num_sentences=0),
        filters.FineWebQualityFilter(line_punct_thr=0, new_line_ratio=1),
    ]
    for one in quality if not drops else ():
        one.filter_batch = partial(_judged, one.filter)
    run("read, filters, write", read, *quality, PIIFormatter(), JsonlWriter(str(out / "clean")))
    clean = JsonlReader(str(out / "clean"))
    run("minhash: sign", clean, MinhashDedupSignature(str(out / "signatures")))
    run("minhash: meet", MinhashDedupBuckets(str(out / "signatures"), str(out / "buckets")), ranks=14)
    run("minhash: cluster", MinhashDedupCluster(str(out / "buckets"), str(out / "remove")))
    run("minhash: filter, write", clean, MinhashDedupFilter(str(out / "remove")), JsonlWriter(str(out / "kept")))
    kept = JsonlReader(str(out / "kept"))
    tokens = DocumentTokenizer(str(out / "tokens"), str(tokenizer), eos_token="<|EOS|>", shuffle_documents=False)
    run("tokenize", kept, tokens)


def _judged(judge: Callable[[Any], object], batch: list[Any]) -> list[bool]:
    """Every document of the batch stays, whatever the filter says of it."""
    for document in batch:
        judge(document)
    return [True] * len(batch)
