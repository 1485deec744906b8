"""KORMo models, and reading and writing their checkpoints.

    shape.py           the numbers of `kormo.architecture`, and the resulting parameter count
    configuration.py   KORMoConfig      } the model, on transformers' Llama parts
    modeling.py        KORMoForCausalLM }
    layout.py          KORMo's weight names <-> Llama's
    initialization.py  the initial weights, a pure function of (seed, name)
    files.py           sharded safetensors, config and tokenizer files of a checkpoint folder
    checkpoint.py      writes the initial checkpoint
    export.py          conversion to and from the plain Llama layout, verified by logits
    variants/          other architectures and their plain forms
    family.py          the component `kormo`, which implements the contract of `hookspecs.py`

Only `configuration` and `modeling` import torch and transformers when they are themselves imported.
"""
