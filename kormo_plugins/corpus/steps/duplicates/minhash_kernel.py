"""The compiled part of MinHash: words and signatures from UTF-8 bytes, and clusters from signatures.

A word is a run of letters and digits. ASCII letters are lower-cased; a byte above 127 belongs to a word unless it
begins one of the common characters of U+2000–U+206F or U+3000–U+303F (quotation marks, dashes, CJK stops), so Korean
splits at spaces and punctuation like English. Words are hashed sequentially (FNV-1a, then a finaliser). An n-gram hash
is a polynomial over the word hashes, updated in constant time per word. The hash family is 32-bit multiply-add-shift
(Dietzfelbinger): one multiplication per n-gram and function.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from kormo_plugins.store.compiled.functions import njit

BLOCK = 1 << 14
"""Documents processed between two releases of the pages of a memory-mapped table."""
EMPTY = np.uint32(0xFFFFFFFF)
"""Fills the signature of a document that is too short."""
NUMBER_PLACES = 24
"""Positions of the signature that hold the numbers."""
LONG, SHORT = 60, 20
"""Words per document: up to `SHORT` the higher similarity is required, from `LONG` on the configured one."""


def keys(places: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Odd multipliers and addends, uint64, shape [places]."""
    dice = np.random.Generator(np.random.PCG64(seed))
    multipliers = dice.integers(0, 1 << 63, size=places, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return multipliers, dice.integers(0, 1 << 63, size=places, dtype=np.uint64)


@njit()
def _words(data: np.ndarray) -> np.ndarray:
    """64-bit hashes of the words in UTF-8 `data`, in order."""
    found = np.empty(len(data) // 2 + 1, dtype=np.uint64)
    count, value, inside, i, size = 0, np.uint64(0xCBF29CE484222325), False, 0, len(data)
    prime = np.uint64(0x100000001B3)
    while i < size:
        byte = data[i]
        if 0xE4 <= byte < 0xF0 and i + 2 < size:  # Hangul and Han, most of any Korean text
            value = (value ^ np.uint64(byte)) * prime
            value = (value ^ np.uint64(data[i + 1])) * prime
            value = (value ^ np.uint64(data[i + 2])) * prime
            inside = True
            i += 3
            continue
        step, letter = 1, False
        if byte < 128:
            letter = 97 <= byte <= 122 or 48 <= byte <= 57 or 65 <= byte <= 90
            if 65 <= byte <= 90:
                byte += 32
        else:
            step = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            sign = (byte == 0xE2 and i + 1 < size and data[i + 1] <= 0x81) or (
                byte == 0xE3 and i + 1 < size and data[i + 1] == 0x80
            )
            letter = not sign and byte != 0xC2
        if letter:
            value = (value ^ np.uint64(byte)) * np.uint64(0x100000001B3)
            for k in range(i + 1, min(i + step, size)):
                value = (value ^ np.uint64(data[k])) * np.uint64(0x100000001B3)
            inside = True
        elif inside:
            found[count] = _final(value)
            count, value, inside = count + 1, np.uint64(0xCBF29CE484222325), False
        i += step
    if inside:
        found[count] = _final(value)
        count += 1
    return found[:count]


@njit()
def runs(data: np.ndarray, n: int) -> np.ndarray:
    """64-bit hashes of all n-grams of `n` words in UTF-8 `data`, in order; empty if it has fewer words."""
    words = _words(data)
    found = np.empty(max(0, len(words) - n + 1), dtype=np.uint64)
    for start in range(len(found)):
        run = np.uint64(n)
        for k in range(n):
            run = run * np.uint64(0x9E3779B97F4A7C15) + words[start + k]
        found[start] = _final(run)
    return found


@njit()
def _final(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return value ^ (value >> np.uint64(33))


@njit()
def _counted(run: np.uint64, seen: np.ndarray, times: np.ndarray) -> np.uint64:
    """Combines the n-gram with its number of earlier occurrences, so that repetitions are different elements."""
    mask = len(seen) - 1
    at = np.int64(_final(run) & np.uint64(mask))
    while times[at] and seen[at] != run:
        at = (at + 1) & mask
    seen[at] = run
    times[at] += np.uint32(1)
    return run + np.uint64(times[at] - np.uint32(1)) * np.uint64(0xD6E8FEB86659FD93)


@njit()
def _smallest(elements: np.ndarray, multipliers: np.ndarray, addends: np.ndarray) -> np.ndarray:
    """The minimum hash over all elements for each function of the family; `EMPTY` if there are no elements."""
    smallest = np.full(len(multipliers), np.uint32(0xFFFFFFFF), dtype=np.uint32)
    half, whole = np.uint64(32), len(elements) - len(elements) % 4
    for i in range(0, whole, 4):  # unrolled by four: reads the family and writes the minima a quarter as often
        x, y, z, w = elements[i], elements[i + 1], elements[i + 2], elements[i + 3]
        for k in range(len(multipliers)):
            multiplier, addend = multipliers[k], addends[k]
            one = min(np.uint32((multiplier * x + addend) >> half), np.uint32((multiplier * y + addend) >> half))
            two = min(np.uint32((multiplier * z + addend) >> half), np.uint32((multiplier * w + addend) >> half))
            smallest[k] = min(smallest[k], min(one, two))
    for i in range(whole, len(elements)):
        for k in range(len(multipliers)):
            value = np.uint32((multipliers[k] * elements[i] + addends[k]) >> half)
            smallest[k] = min(smallest[k], value)
    return smallest


@njit()
def signature(
    data: np.ndarray, ngram: int, fewest: int, multipliers: np.ndarray, addends: np.ndarray
) -> tuple[np.ndarray, int]:
    """MinHash signature of UTF-8 text.

    Args:
        data: uint8, shape [bytes].
        ngram: words per n-gram; a document of fewer words is a single n-gram.
        fewest: minimum number of words; below it the signature is `EMPTY`.
        multipliers, addends: the hash family, uint64, shape [places].
    Returns:
        uint32, shape [places]: the minimum hash for each function; and the number of words.
    """
    words = _words(data)
    if len(words) < fewest:
        return _smallest(words[:0], multipliers, addends), len(words)
    n = min(ngram, len(words))
    base = np.uint64(0x9E3779B97F4A7C15)
    highest = np.uint64(1)
    for _ in range(n - 1):
        highest *= base
    size = 16
    while size < 2 * len(words):
        size *= 2
    keys_seen, times = np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.uint32)
    run = np.uint64(0)
    elements = np.empty(len(words) - n + 1, dtype=np.uint64)
    for i in range(len(words)):
        if i >= n:
            run -= words[i - n] * highest
        run = run * base + words[i]
        if i >= n - 1:
            elements[i - n + 1] = _final(_counted(run, keys_seen, times))
    return _smallest(elements, multipliers, addends), len(words)


@njit()
def numbers(data: np.ndarray, multipliers: np.ndarray, addends: np.ndarray) -> tuple[np.ndarray, int]:
    """MinHash signature of the numbers of UTF-8 text, and how many there are.

    Numbers are runs of ASCII digits. Each is combined with the preceding one: `3 + 4` differs from `4 + 3`.

    Returns:
        uint32, shape [places of the family]; all `EMPTY` if there are no numbers.
    """
    digits = 0
    for byte in data:
        digits += 48 <= byte <= 57
    size = 16
    while size < 2 * digits:
        size *= 2
    seen, times = np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.uint32)
    elements = np.empty(digits, dtype=np.uint64)
    count, inside, value, before = 0, False, np.uint64(0xCBF29CE484222325), np.uint64(0)
    for i in range(len(data) + 1):
        if i < len(data) and 48 <= data[i] <= 57:
            value = (value ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
            inside = True
        elif inside:
            value = _final(value)
            elements[count] = _final(_counted(_final(before * np.uint64(0x9E3779B97F4A7C15) + value), seen, times))
            before = value
            count, inside, value = count + 1, False, np.uint64(0xCBF29CE484222325)
    return _smallest(elements[:count], multipliers, addends), count


@njit()
def _bands(signatures: np.ndarray, band: int, rows: int) -> np.ndarray:
    """One 64-bit key per document for one band."""
    found = np.empty(len(signatures), dtype=np.uint64)
    for i in range(len(signatures)):
        value = np.uint64(0xCBF29CE484222325) + np.uint64(band)
        for k in range(band * rows, (band + 1) * rows):
            value = _final(value ^ np.uint64(signatures[i, k]) * np.uint64(0x9E3779B97F4A7C15))
        found[i] = value
    return found


@njit()
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit()
def _alike(a: np.ndarray, b: np.ndarray, places: int, bounds: tuple[float, float, int, int]) -> bool:
    """Whether two rows of the table are similar: in their n-grams and, if both have many numbers, in their numbers."""
    similarity, short_similarity, share, agreeing = bounds
    words = min(float(a[places + NUMBER_PLACES + 1]), float(b[places + NUMBER_PLACES + 1]))
    short = min(1.0, max(0.0, (LONG - words) / (LONG - SHORT)))
    same = 0
    for k in range(places):
        same += a[k] == b[k]
    if same < (similarity + short * (short_similarity - similarity)) * places:
        return False
    if a[places + NUMBER_PLACES] < share or b[places + NUMBER_PLACES] < share:
        return True
    same = 0
    for k in range(places, places + NUMBER_PLACES):
        same += a[k] == b[k]
    return same >= agreeing


@njit()
def _join(
    parent: np.ndarray,
    order: np.ndarray,
    key: np.ndarray,
    signatures: np.ndarray,
    places: int,
    bounds: tuple[float, float, int, int],
) -> None:
    """Joins the candidates of one band: each document with the first one of its bucket that it resembles enough."""
    start, size = 0, len(order)
    while start < size:
        end = start + 1
        while end < size and key[order[end]] == key[order[start]]:
            end += 1
        if end - start > 1 and signatures[order[start], 0] != np.uint32(0xFFFFFFFF):
            for b in range(start + 1, end):
                # Compares with only a few predecessors: a bucket of thousands must not cost quadratic time.
                for a in range(start, min(b, start + 8)):
                    ra, rb = _root(parent, order[a]), _root(parent, order[b])
                    if ra == rb:
                        break
                    if _alike(signatures[order[a]], signatures[order[b]], places, bounds):
                        parent[max(ra, rb)] = min(ra, rb)
                        break
        start = end


def _runs(key: np.ndarray, order: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of `order` with about `BLOCK` documents each; documents of one key are never split."""
    start = 0
    while start < len(order):
        end = min(start + BLOCK, len(order))
        while end < len(order) and key[order[end]] == key[order[end - 1]]:
            end += 1
        yield start, end
        start = end


def _keys(signatures: np.ndarray, bands: int, rows: int) -> Iterator[np.ndarray]:
    """For each band the keys of all documents; uint64, shape [documents].

    The table is larger than memory where it is mapped, and a scan for each band would read all of it as often.
    """
    many, folder = len(signatures), _folder_of(signatures)
    if folder is None:
        for band in range(bands):
            yield _bands(signatures, band, rows)
        return
    release = _pages_of(signatures)
    with tempfile.TemporaryFile(dir=folder) as file:
        for start in range(0, many, BLOCK):
            for band in range(bands):
                file.seek(8 * (band * many + start))
                file.write(_bands(signatures[start : start + BLOCK], band, rows).data)
            release()
        for band in range(bands):
            file.seek(8 * band * many)
            yield np.fromfile(file, dtype=np.uint64, count=many)


def _folder_of(table: np.ndarray) -> Path | None:
    """The folder of the file that a table is mapped from; None for a table in memory."""
    base: object = table
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.filename is not None:
            return Path(base.filename).parent
        base = base.base
    return None


def _pages_of(table: np.ndarray) -> Callable[[], None]:
    """A function that releases the resident pages of a memory-mapped table; does nothing for a table in memory.

    The pages stay in the system's cache if there is room, but no longer count as memory of this process.
    """
    base: object = table
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, mmap.mmap):
        return lambda: None
    return partial(base.madvise, mmap.MADV_DONTNEED)


def clusters(signatures: np.ndarray, bands: int, rows: int, bounds: tuple[float, float, int, int]) -> np.ndarray:
    """For each document the index of the first document of its cluster; int64, shape [documents].

    Memory: 40 bytes per document, and the signatures only where they are not mapped from a file. Such a file is read
    once, and a temporary one beside it takes 8 bytes per document and band.

    Args:
        signatures: uint32, shape [documents, bands × rows + NUMBER_PLACES + 2 or more], in source order: n-gram hashes,
            number hashes, numbers per thousand words, words.
        bounds: required similarity of long and of short documents; numbers per thousand words above which numbers must
            also agree, and in how many of their positions.
    """
    parent = np.arange(len(signatures), dtype=np.int64)
    if len(signatures) < 2:
        return parent
    release = _pages_of(signatures)
    for key in _keys(signatures, bands, rows):
        order = np.argsort(key, kind="stable")
        for start, end in _runs(key, order):
            _join(parent, order[start:end], key, signatures, bands * rows, bounds)
            release()
    while True:
        next_parent = parent[parent]
        if np.array_equal(next_parent, parent):
            return parent
        parent = next_parent
