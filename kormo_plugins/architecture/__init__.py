"""The architecture room: what a KORMo model is, and how it becomes files and comes back from them.

    shape.py           the numbers of a recipe (`kormo.architecture`), and how many parameters they make
    configuration.py   KORMoConfig      } the model, on transformers' Llama parts
    modeling.py        KORMoForCausalLM }
    layout.py          KORMo's weight names <-> Llama's
    initialization.py  the first weights, a pure function of (seed, name)
    files.py           sharded safetensors, config and tokenizer files of a checkpoint folder
    checkpoint.py      an initial checkpoint; configs put right after a Trainer saved one
    export.py          the plain Llama layout, verified by logits, and back
    variants/          other architectures, each with its plain form
    family.py          the component `kormo`: all of the above behind the contract of `hookspecs.py`

Only `configuration` and `modeling` import torch and transformers when they are themselves imported.
"""
