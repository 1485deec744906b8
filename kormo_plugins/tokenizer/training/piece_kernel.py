"""The compiled part of piece counting: splits text like Qwen2's split and counts each piece in a hash table.

The split is `train.SPLIT`, written as a scanner. The table of letters, numbers and white space is computed from the
regular expressions themselves (`piece_counts.classes`). A property test compares the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.store.compiled.functions import njit

OTHER, LETTER, NUMBER, SPACE, LINE = 0, 1, 2, 3, 4
"""Classes of code points; LINE is carriage return and newline, which are also white space."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@njit()
def cut(
    codes: NDArray[np.uint32],
    classes: NDArray[np.uint8],
    seen: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> int:
    """Splits one text, excluding its newline runs, into pieces.

    Args:
        codes: its code points.
        classes: class of each code point.
        seen: set to 1 for each code point that occurs; uint8, shape of `classes`.
        starts: receives the start of each piece (as many elements as code points).
        ends: receives the end of each piece.

    Returns:
        The number of pieces.
    """
    count, size, begin = 0, len(codes), 0
    for place in range(size):
        seen[codes[place]] = 1
    while begin < size:
        if codes[begin] == 10 and begin + 1 < size and codes[begin + 1] == 10:
            while begin < size and codes[begin] == 10:
                begin += 1
            continue
        end = begin + 1  # end of the part before a newline run
        while end < size and not (codes[end] == 10 and end + 1 < size and codes[end + 1] == 10):
            end += 1
        while begin < end:
            following = _next(codes, classes, begin, end)
            starts[count], ends[count] = begin, following
            count += 1
            begin = following
    return count


@njit()
def _next(codes: NDArray[np.uint32], classes: NDArray[np.uint8], i: int, end: int) -> int:
    """End of the piece that begins at `i`."""
    kind = classes[codes[i]]
    if codes[i] == 0x27:
        length = _contraction(codes, i + 1, end)
        if length:
            return i + 1 + length
    letters = i if kind in (LETTER, NUMBER, LINE) else i + 1
    if letters < end and classes[codes[letters]] == LETTER and kind != NUMBER and kind != LINE:
        while letters < end and classes[codes[letters]] == LETTER:
            letters += 1
        return letters
    if kind == NUMBER:
        return i + 1
    signs = i + 1 if codes[i] == 0x20 else i
    if signs < end and classes[codes[signs]] == OTHER:
        while signs < end and classes[codes[signs]] == OTHER:
            signs += 1
        while signs < end and classes[codes[signs]] == LINE:
            signs += 1
        return signs
    space, line = i, -1
    while space < end and (classes[codes[space]] == SPACE or classes[codes[space]] == LINE):
        if classes[codes[space]] == LINE:
            line = space
        space += 1
    if line >= 0:
        return line + 1
    return space if space == end or space == i + 1 else space - 1


@njit()
def _contraction(codes: NDArray[np.uint32], i: int, end: int) -> int:
    """Length of 's, 't, 're, 've, 'm, 'll or 'd at `i`, ignoring case (the long s counts as s); 0 if there is none."""
    if i >= end:
        return 0
    first = codes[i] | np.uint32(0x20) if codes[i] < 0x80 else codes[i]
    if first in (0x73, 0x17F, 0x74, 0x6D, 0x64):
        return 1
    if i + 1 >= end or codes[i + 1] >= 0x80:
        return 0
    second = codes[i + 1] | np.uint32(0x20)
    if (first == 0x72 or first == 0x76) and second == 0x65:
        return 2
    return 2 if first == 0x6C and second == 0x6C else 0


@njit()
def offsets(codes: NDArray[np.uint32], out: NDArray[np.int64]) -> None:
    """UTF-8 byte offset of each code point, and the total; int64, shape [code points + 1]."""
    total = 0
    for place in range(len(codes)):
        out[place] = total
        code = codes[place]
        total += 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
    out[len(codes)] = total


@njit()
def count(
    data: NDArray[np.uint8],
    places: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    first: int,
    used: NDArray[np.int64],
    table: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    begins: NDArray[np.int64],
    counts: NDArray[np.int64],
    arena: NDArray[np.uint8],
) -> int:
    """Counts pieces, from `first` on, until a new one does not fit.

    Args:
        data: the text in UTF-8.
        places: byte offset of each code point (`offsets`).
        starts: code point index where each piece begins.
        ends: code point index where each piece ends.
        used: entries and arena bytes in use; updated.
        table: hash table of entry indices, -1 if empty; its length is a power of two.
        hashes: of each entry.
        begins: arena offset of each entry, and the end of the last; one longer than `hashes`.
        counts: of each entry.
        arena: the bytes of the entries.

    Returns:
        The index of the first piece that did not fit, or the number of pieces.
    """
    mask = np.uint64(len(table) - 1)
    for piece in range(first, len(starts)):
        begin, end = places[starts[piece]], places[ends[piece]]
        value = hashed(data, begin, end)
        slot = value & mask
        while True:
            entry = table[slot]
            if entry < 0:
                if used[0] == len(hashes) or used[1] + end - begin > len(arena):
                    return piece
                entry = used[0]
                table[slot], hashes[entry], counts[entry] = entry, value, 1
                for place in range(begin, end):
                    arena[used[1] + place - begin] = data[place]
                used[0] += 1
                used[1] += end - begin
                begins[used[0]] = used[1]
                break
            if hashes[entry] == value and _same(data, begin, end, arena, begins[entry], begins[entry + 1]):
                counts[entry] += 1
                break
            slot = (slot + np.uint64(1)) & mask
    return len(starts)


@njit()
def hashed(data: NDArray[np.uint8], begin: int, end: int) -> np.uint64:
    """Hash of a byte range: multiplied and folded eight bytes at a time, as in wyhash."""
    value = np.uint64(end - begin) * _MULTIPLIER
    place = begin
    while place < end:
        block = np.uint64(0)
        for shift in range(min(8, end - place)):
            block |= np.uint64(data[place + shift]) << np.uint64(8 * shift)
        value = (value ^ block) * _MULTIPLIER
        value ^= value >> np.uint64(29)
        place += 8
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return value ^ (value >> np.uint64(32))


@njit()
def _same(one: NDArray[np.uint8], a: int, b: int, other: NDArray[np.uint8], c: int, d: int) -> bool:
    if b - a != d - c:
        return False
    for place in range(b - a):  # noqa: SIM110 - compiled
        if one[a + place] != other[c + place]:
            return False
    return True


@njit()
def insert(hashes: NDArray[np.uint64], entries: int, table: NDArray[np.int32]) -> None:
    """Fills an empty hash table with the first `entries`, which are distinct."""
    mask = np.uint64(len(table) - 1)
    for entry in range(entries):
        slot = hashes[entry] & mask
        while table[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = entry


@njit()
def united(
    hashes: NDArray[np.uint64], begins: NDArray[np.int64], counts: NDArray[np.int64], arena: NDArray[np.uint8]
) -> int:
    """Adds the count of each entry to that of the first one with the same bytes, and sets its own to 0.

    The entries are sorted by hash. Returns the number of distinct entries.
    """
    different = 0
    for entry in range(len(hashes)):
        earlier = entry - 1
        while earlier >= 0 and hashes[earlier] == hashes[entry]:
            if counts[earlier] and _same(
                arena, begins[entry], begins[entry + 1], arena, begins[earlier], begins[earlier + 1]
            ):
                counts[earlier] += counts[entry]
                counts[entry] = 0
                break
            earlier -= 1
        if counts[entry]:
            different += 1
    return different


@njit()
def moved(
    order: NDArray[np.int64], begins: NDArray[np.int64], arena: NDArray[np.uint8], out: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Copies entries in a different order to `out`; returns the start of each, and the end of the last."""
    found = np.empty(len(order) + 1, dtype=np.int64)
    found[0] = 0
    for place in range(len(order)):
        begin, end = begins[order[place]], begins[order[place] + 1]
        for byte in range(begin, end):
            out[found[place] + byte - begin] = arena[byte]
        found[place + 1] = found[place] + end - begin
    return found


@njit()
def repeated(
    begins: NDArray[np.int64],
    times: NDArray[np.int64],
    arena: NDArray[np.uint8],
    symbols: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> int:
    """Writes each entry the given number of times, one per line, in byte symbols; returns the bytes written.

    Args:
        symbols: UTF-8 of the symbol of each byte, and its length; uint8, shape [256, 3].
    """
    size = 0
    for entry in range(len(times)):
        for _ in range(times[entry]):
            for place in range(begins[entry], begins[entry + 1]):
                byte = arena[place]
                for part in range(symbols[byte, 2]):
                    out[size] = symbols[byte, part]
                    size += 1
            out[size] = 10
            size += 1
    return size
