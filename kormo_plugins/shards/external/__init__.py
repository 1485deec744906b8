"""Token files of other training stacks: read in place as shards of ours, and written from them.

    datatrove   NAME.ds, NAME.ds.index, NAME.ds.loss                 datatrove and nanotron
    megatron    NAME.bin, NAME.idx                                   Megatron-LM, Megatron-core, NeMo
    olmo_core   NAME.npy without a header, documents by their end    OLMo-core

All three hold token ids end to end, as ours do; they differ in how they say where documents end. So nothing is copied
to read them: a shard's ids are a link to the file, and only offsets and names are written (`adopt.py`).
"""
