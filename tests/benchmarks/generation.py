"""Generation for evaluation: items per second of `kormo eval`'s model beside lm-evaluation-harness's own (`hf`), on the
same checkpoint, prompts and settings; and whether they wrote the same.

    python tests/benchmarks/generation.py outputs/pretrain --task mini_instruct_ko --items 100 --theirs 1,8,32

The harness's command takes batches of one by default; `--theirs` names the sizes that are tried. Both are measured with
the model loaded, after a first batch. On a busy machine, compare items per CPU second, which others' work changes
little.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kormo_plugins.evaluation.models import checkpoint as models
from kormo_plugins.evaluation.models.model import Model, default_device
from kormo_plugins.evaluation.plan import Wanted, make_ready
from kormo_plugins.evaluation.run import catalogue_of, find_lines, quiet_harness
from kormo_plugins.plugins.registry import registry


def requests_of(folder: Path, task: str, items: int) -> Sequence[Any]:
    """The task's requests, as the harness builds them."""
    model = models.open_checkpoint(folder, registry())
    (line,) = find_lines([], [task], items, registry())
    wanted = [Wanted("b", line.named.leaves[0], line.line, items)]
    (ready,) = make_ready(wanted, catalogue_of(registry()), model, data=None, cut_long=True)
    return list(ready.task.instances)


def timed(model: Any, requests: Sequence[Any], write: Any) -> tuple[float, float, list[str]]:
    """Items per second, items per CPU second, and the texts."""
    write(model, requests[:2], disable_tqdm=True)
    begin, used = time.perf_counter(), time.process_time()
    texts = write(model, requests, disable_tqdm=True)
    wall, cpu = time.perf_counter() - begin, time.process_time() - used
    return len(requests) / wall, len(requests) / cpu, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--task", default="mini_instruct_ko", help="tasks of the harness or ours, with commas between")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--theirs", default="1,8,32", help="batch sizes of the harness's own model")
    parser.add_argument("--new", type=int, help="tokens of the longest answer, instead of the task's")
    arguments = parser.parse_args()
    quiet_harness()
    from lm_eval.models.huggingface import HFLM

    models.register(registry())
    our_model = Model(arguments.checkpoint, batch_size=None, device=default_device())
    for task in arguments.task.split(","):
        requests = requests_of(arguments.checkpoint, task, arguments.items)
        for request in requests if arguments.new else ():
            request.arguments = (request.arguments[0], {**request.arguments[1], "max_gen_toks": arguments.new})
        prompts = [len(our_model.tok_encode(request.args[0])) for request in requests]
        about = {"task": task, "items": len(requests), "mean tokens of a prompt": round(sum(prompts) / len(prompts))}
        ours, ours_cpu, texts = timed(our_model, requests, Model.generate_until)
        answers = [len(our_model.tok_encode(text)) for text in texts]
        about["mean tokens of an answer"] = round(sum(answers) / len(answers))
        row = {"who": "kormo eval", "batch": "by memory", "items/s": round(ours, 2), "items/CPU s": round(ours_cpu, 2)}
        print(json.dumps({**about, **row}), flush=True)
        for size in map(int, arguments.theirs.split(",")):
            theirs = HFLM(pretrained=str(arguments.checkpoint), batch_size=size, device=default_device(), dtype="auto")
            speed, cpu, written = timed(theirs, requests, HFLM.generate_until)
            same = sum(one == other for one, other in zip(texts, written, strict=True))
            row = {"who": "lm_eval hf", "batch": size, "items/s": round(speed, 2), "items/CPU s": round(cpu, 2)}
            row["ours"] = f"{ours / speed:.1f} times (CPU: {ours_cpu / cpu:.1f})"
            print(json.dumps({"task": task, **row, "same texts": f"{same} of {len(texts)}"}), flush=True)


if __name__ == "__main__":
    main()
