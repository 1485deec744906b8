"""Token files of other training frameworks: read in place as shards, and written from shards.

    datatrove   NAME.ds, NAME.ds.index, NAME.ds.loss                 datatrove and nanotron
    megatron    NAME.bin, NAME.idx                                   Megatron-LM, Megatron-core, NeMo
    olmo_core   NAME.npy without a header, documents by their end    OLMo-core

All three formats hold concatenated token ids, like ours; they differ in how document boundaries are stored. Nothing is
copied to read them: a shard's ids are a link to the file, and only offsets and names are written (`adopt.py`).
"""
