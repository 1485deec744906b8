"""The format of tokenized documents: one folder of memory-mapped shards per source.

    shard-00000.ids.bin            token ids, uint16 or uint32, documents end to end
    shard-00000.offsets.bin        int64 [documents + 1], where each document begins; the last is the token count
    shard-00000.offsets.index.bin  int64, each 512th of the offsets, so that a token's document is one read away
    shard-00000.names.bin          document names, UTF-8, end to end
    shard-00000.names.offsets.bin  int64 [documents + 1], in bytes
    shard-00000.trained.bin        uint8 per token, 1: it is predicted; of conversations only
    shard-00000.json               what it was made from, sizes and checksums; written last of these
    shards.json                    the source as a whole; written last of all

A folder without `shards.json` is not finished: building it again keeps every shard that has its own `.json`
and was made from the same input, and makes the rest. `tokenize_source` writes such a folder, `Shards` reads
it, `verify` checks every byte of it and `stage` brings it from an object store.
"""
