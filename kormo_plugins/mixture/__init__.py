"""Turns shards into batches: the tokens of sample i are a pure function of the recipe, the seed and i.

    row_plans/packing.py   document lengths -> rows (`best_fit`, `concat`, `pad`)
    row_plans/rows.py      the row plan of a source on disk, built window by window
    sampling/order.py      which row is in which slot: keyed permutations without memory
    sampling/weights.py    the weight tree -> the share of each source
    sampling/schedule.py   number of rows of each source before a given step
    dataset.py             sample i: step -> source and row -> documents -> tokens
    batches/collators.py   rows -> input_ids, labels, position_ids
    resume.py              what must not change for a run to resume, and what may

The mental model:

1. Each source is packed into rows separately, so every row has one source, and loss by source is loss by row.
2. Rows of a source are drawn in the order of a keyed permutation, a new one in each epoch.
3. Before step k, source s has contributed c_s(k) rows; these sum to k batches, and each is within one row of its share.
4. Inside a batch, a keyed permutation assigns the slots to the sources.
5. Sample i maps to step and slot -> source and its row count -> epoch and row -> segments -> tokens.
"""
