"""Evaluation of checkpoints with lm-evaluation-harness, a judge, and a needle in a haystack.

    suites/*.yml       tasks, shots and metrics, with the source of each choice
    suites.py          loads a suite
    tasks/             task files for lm-evaluation-harness: Korean ones that it lacks, and the mini suite
    mini.py            the items of the mini suite: written by rules, held out from training
    catalogue.py       resolves names of tasks and groups to configurations
    local_data.py      reads datasets from a user's folder
    plan.py            prepares tasks (data, requests, lengths) before a model is loaded
    models/            checkpoint.py: checks a model folder and hashes its weights
                       model.py: the harness's model; records which answers ended with an end token
                       served.py: the same, with generation by a server
    run.py             runs one evaluation
    score.py           runs the tasks one by one; skips finished ones
    record.py          reads and writes evaluation.json
    published.yml/.py  published scores of KORMo-10B and its baselines
    haystack/          a needle in a haystack, over lengths and depths: needle.py; needle_reader.py runs a model,
                       needle_page.py draws the heat map
    after_training.py  `kormo.evaluate`: runs the evaluation after training

lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness) builds the prompts, queries the model and
computes every score, so scores are comparable with anyone else's. This package adds suites, local data, model loading,
and a record of finished tasks.
"""
