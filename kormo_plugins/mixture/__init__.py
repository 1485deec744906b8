"""Shards to batches: the tokens of sample i as a pure function of the recipe, the seed and i.

    row_plans/packing.py   lengths of documents -> rows (`best_fit`, `concat`, `pad`)
    row_plans/rows.py      the row plan of a source on disk, made window by window
    sampling/order.py      which row lies in which slot: a keyed shuffle that needs no memory
    sampling/weights.py    the tree of weights -> the share of each source
    sampling/schedule.py   how many rows of each source come before a given step
    dataset.py             sample i: step -> source and row -> documents -> tokens
    batches/collators.py   rows -> input_ids, labels, position_ids
    resume.py              what must be equal for a run to go on, and what may be amended

The mental model, in five lines:

1. Each source is packed into rows by itself, so a row has one source and a loss by source is a loss by row.
2. Rows of a source are drawn in the order of a keyed permutation, a new one in each epoch.
3. Before step k, source s has given c_s(k) rows; these sum to k batches, each within one row of its share.
4. Inside a batch, which slot gets which source is a keyed permutation too.
5. So sample i is: step and slot -> source and how-manieth row of it -> epoch and row -> segments -> tokens.
"""
