"""The evaluation room: what a checkpoint scores, and how that is known to be right.

    suites/*.yml       which tasks, with how many shots, by which metric, and who says so
    suites.py          a suite as an object
    tasks/             task files for lm-evaluation-harness: Korean ones that it lacks, and the mini suite
    mini.py            the items of the mini suite: written by rules, held out from training
    catalogue.py       names of tasks and groups -> their configurations
    local_data.py      a user's folder of datasets, read in the layouts in which datasets come
    plan.py            tasks made ready: data found, requests built and measured, before a model is loaded
    models/            checkpoint.py: a model folder: what it is, whether it can be used, what its weights hash to
                       model.py: the harness's model, with a record of which answers ended by themselves
                       served.py: the same with a server for generation
    run.py             one evaluation from beginning to end
    score.py           one task after the other; what is finished is not done again
    record.py          evaluation.json
    published.yml/.py  the scores of KORMo-10B and its baselines, to stand beside ours
    haystack/          a needle in a haystack, over lengths and depths: needle.py; needle_reader.py asks a model,
                       needle_page.py draws the heat map
    after_training.py  `kormo.evaluate`: all of this as the last act of a training

The engine is lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness): it builds the prompts,
asks the model and computes every score, so that a number of ours is a number of everybody's. What is here stands
around it: what to ask, on which data, with which model, and what was asked already.
"""
