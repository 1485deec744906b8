"""Learns BPE merges from pieces on disk, in bounded memory, equal to those of the tokenizers library.

The distinct pieces of a large text do not fit in memory, and every merge changes the counts of pairs in all of them.
Here the pieces stay in a file (`piece_file`) that is read once for each *batch* of merges, several hundred times for a
vocabulary of 32,000, while only the counts of pairs are in memory (`pair_table`). A pass applies the merges of a batch,
which gives exact counts of all pairs, and counts the neighbors of the pairs that may be merged next (`kernel`). From
these the next batch is derived (`batch`): merges are added as long as it is certain, by lower and upper bounds, that
no other pair is more frequent. Nothing is estimated: where the bounds leave a doubt, the batch ends.
"""
