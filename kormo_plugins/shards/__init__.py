"""The format of tokenized documents: one folder of memory-mapped shards per source.

    shard-00000.ids.bin            token ids, uint16 or uint32, documents end to end
    shard-00000.offsets.bin        int64 [documents + 1], start of each document; the last is the token count
    shard-00000.offsets.index.bin  int64, every 512th offset, so that a token's document is found with one read
    shard-00000.names.bin          document names, UTF-8, end to end
    shard-00000.names.offsets.bin  int64 [documents + 1], in bytes
    shard-00000.trained.bin        uint8 per token, 1: predicted (loss mask); conversations only
    shard-00000.json               input, sizes and checksums; written last of these
    shards.json                    manifest of the source; written last of all

A folder without `shards.json` is unfinished: building it again keeps every shard that has its own `.json` and was made
from the same input, and makes the rest. `tokenize_source` writes such a folder, `Shards` reads it, `verify` checks
every byte of it and `transfer` copies it from an object store.
"""
