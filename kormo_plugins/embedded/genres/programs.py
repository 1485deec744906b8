"""Small Python programs with known results, for the genre `code`.

Each maker returns a function's source, a call and the value of that call, computed independently of the source; the
tests run the source and compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from math import gcd
from textwrap import dedent

from kormo_plugins.store.keyed_random import KeyedRandom


@dataclass(frozen=True, slots=True)
class Program:
    """A program.

    Args:
        topic: phrase bank of its explanation, `code.<topic>`.
        name: the function's name.
        source: its source; `«doc»` is replaced by the docstring and `«why»` by a comment.
        call: an expression that calls it.
        value: the value of the call.
    """

    topic: str
    name: str
    source: str
    call: str
    value: object


def _ints(dice: KeyedRandom, low: int, high: int) -> list[int]:
    return [dice.between(low, high) for _ in range(dice.between(4, 9))]


def _name(dice: KeyedRandom, *choices: str) -> str:
    suffix = dice.pick(("", "", "_of", "_for", "_in", "_from"))
    return dice.pick(choices) + (f"{suffix}_{dice.pick(_NOUNS)}" if suffix else "")


def _source(text: str) -> str:
    """Removes this file's indentation from a program."""
    return dedent(text).strip()


_NOUNS = (
    "rows",
    "prices",
    "scores",
    "visits",
    "parcels",
    "letters",
    "tickets",
    "readings",
    "orders",
    "boxes",
    "days",
    "trips",
    "stock",
    "marks",
    "lamps",
    "boats",
    "seeds",
    "rooms",
    "shelves",
    "wells",
    "fields",
    "trains",
)
_ITEMS = (
    "values",
    "numbers",
    "items",
    "data",
    "entries",
    "amounts",
    "records",
    "samples",
    "readings",
    "counts",
)


def above(dice: KeyedRandom, words: list[str]) -> Program:
    """Filtering by a threshold."""
    xs, name, values = (
        _ints(dice, 1, 99),
        _name(dice, "above", "keep_large", "filter_high"),
        dice.pick(_ITEMS),
    )
    limit = dice.between(20, 80)
    source = _source(f"""
        def {name}({values}, limit):
            «doc»
            # «why»
            return [x for x in {values} if x > limit]
    """)
    return Program("above", name, source, f"{name}({xs}, {limit})", [x for x in xs if x > limit])


def running(dice: KeyedRandom, words: list[str]) -> Program:
    """Running totals."""
    xs, name, values = (
        _ints(dice, 1, 60),
        _name(dice, "running_total", "cumulate", "add_up"),
        dice.pick(_ITEMS),
    )
    source = _source(f"""
        def {name}({values}):
            «doc»
            totals, total = [], 0
            for value in {values}:
                total += value  # «why»
                totals.append(total)
            return totals
    """)
    return Program("running", name, source, f"{name}({xs})", list(accumulate(xs)))


def divisor(dice: KeyedRandom, words: list[str]) -> Program:
    """Euclid's algorithm."""
    common = dice.between(2, 24)
    a, b = common * dice.between(2, 40), common * dice.between(2, 40)
    name = _name(dice, "greatest_divisor", "common_divisor", "euclid")
    source = _source(f"""
        def {name}(a, b):
            «doc»
            while b:
                a, b = b, a % b  # «why»
            return a
    """)
    return Program("divisor", name, source, f"{name}({a}, {b})", gcd(a, b))


def primes(dice: KeyedRandom, words: list[str]) -> Program:
    """Primes below a bound, by trial division."""
    bound, name = dice.between(10, 60), _name(dice, "primes_below", "list_primes", "small_primes")
    source = _source(f"""
        def {name}(bound):
            «doc»
            found = []
            for n in range(2, bound):
                if all(n % p for p in found):  # «why»
                    found.append(n)
            return found
    """)
    value = [n for n in range(2, bound) if all(n % d for d in range(2, n))]
    return Program("primes", name, source, f"{name}({bound})", value)


def count(dice: KeyedRandom, words: list[str]) -> Program:
    """Counting with a dictionary."""
    chosen = [dice.pick(words[:4]) for _ in range(dice.between(5, 10))]
    name, table = _name(dice, "count_each", "tally", "frequency"), dice.pick(("counts", "table", "seen"))
    source = _source(f"""
        def {name}(words):
            «doc»
            {table} = {{}}
            for word in words:
                {table}[word] = {table}.get(word, 0) + 1  # «why»
            return {table}
    """)
    tally: dict[str, int] = {}
    for word in chosen:
        tally[word] = tally.get(word, 0) + 1
    return Program("count", name, source, f"{name}({chosen})", tally)


def longest(dice: KeyedRandom, words: list[str]) -> Program:
    """The longest word, the first one of equal length."""
    name = _name(dice, "longest", "longest_word", "find_longest")
    source = _source(f"""
        def {name}(words):
            «doc»
            best = words[0]
            for word in words[1:]:
                if len(word) > len(best):  # «why»
                    best = word
            return best
    """)
    return Program("longest", name, source, f"{name}({words})", sorted(words, key=len, reverse=True)[0])


def fahrenheit(dice: KeyedRandom, words: list[str]) -> Program:
    """Degrees Celsius to Fahrenheit, exact on multiples of five."""
    xs = [5 * dice.between(-6, 20) for _ in range(dice.between(3, 7))]
    name = _name(dice, "to_fahrenheit", "convert", "celsius_to_fahrenheit")
    source = _source(f"""
        def {name}(degrees):
            «doc»
            # «why»
            return [c * 9 // 5 + 32 for c in degrees]
    """)
    return Program("fahrenheit", name, source, f"{name}({xs})", [c // 5 * 9 + 32 for c in xs])


def bill(dice: KeyedRandom, words: list[str]) -> Program:
    """A total over a dictionary of prices and counts."""
    prices = {word: 50 * dice.between(4, 90) for word in words[:4]}
    bought = {word: dice.between(1, 9) for word in words[: dice.between(2, 4)]}
    name = _name(dice, "bill", "total_price", "cost")
    source = _source(f"""
        def {name}(prices, bought):
            «doc»
            # «why»
            return sum(prices[item] * n for item, n in bought.items())
    """)
    value = 0
    for word, n in bought.items():
        value += n * prices[word]
    return Program("bill", name, source, f"{name}({prices}, {bought})", value)


def window(dice: KeyedRandom, words: list[str]) -> Program:
    """Sums over a sliding window."""
    xs, width = _ints(dice, 0, 40), dice.between(2, 3)
    name, values = _name(dice, "window_sums", "sliding_sums"), dice.pick(_ITEMS)
    source = _source(f"""
        def {name}({values}, width):
            «doc»
            last = len({values}) - width + 1  # «why»
            return [sum({values}[i : i + width]) for i in range(last)]
    """)
    totals = [0, *accumulate(xs)]
    return Program(
        "window", name, source, f"{name}({xs}, {width})", [b - a for a, b in zip(totals, totals[width:], strict=False)]
    )


def steps(dice: KeyedRandom, words: list[str]) -> Program:
    """Steps of the 3n + 1 rule down to one."""
    start, name = dice.between(3, 400), _name(dice, "steps_to_one", "collatz_steps", "count_steps")
    source = _source(f"""
        def {name}(n):
            «doc»
            steps = 0
            while n != 1:
                n = n // 2 if n % 2 == 0 else 3 * n + 1  # «why»
                steps += 1
            return steps
    """)
    n, value = start, 0
    while n > 1:
        n, value = ((3 * n + 1) // 2, value + 2) if n % 2 else (n // 2, value + 1)
    return Program("steps", name, source, f"{name}({start})", value)


def shift(dice: KeyedRandom, words: list[str]) -> Program:
    """Caesar's cipher on one lower-case word."""
    word, by = dice.pick(words), dice.between(1, 25)
    name = _name(dice, "shift_letters", "encode", "caesar")
    source = _source(f"""
        def {name}(word, by):
            «doc»
            letters = "abcdefghijklmnopqrstuvwxyz"
            # «why»
            return "".join(letters[(letters.index(c) + by) % 26] for c in word)
    """)
    value = "".join(chr((ord(c) - 97 + by) % 26 + 97) for c in word)
    return Program("shift", name, source, f'{name}("{word}", {by})', value)


def group(dice: KeyedRandom, words: list[str]) -> Program:
    """Grouping words by their first letter."""
    name, table = _name(dice, "group_by_letter", "by_initial"), dice.pick(("groups", "index", "table"))
    source = _source(f"""
        def {name}(words):
            «doc»
            {table} = {{}}
            for word in sorted(words):
                {table}.setdefault(word[0], []).append(word)  # «why»
            return {table}
    """)
    letters = sorted({word[0] for word in words})
    value = {letter: sorted(word for word in words if word[0] == letter) for letter in letters}
    return Program("group", name, source, f"{name}({words})", value)


def binary(dice: KeyedRandom, words: list[str]) -> Program:
    """Binary search in a sorted list."""
    xs = sorted(set(_ints(dice, 1, 90)))
    place = dice.below(len(xs))
    name, values = _name(dice, "find", "binary_search", "locate"), dice.pick(_ITEMS)
    source = _source(f"""
        def {name}({values}, target):
            «doc»
            low, high = 0, len({values}) - 1
            while low <= high:
                middle = (low + high) // 2  # «why»
                if {values}[middle] == target:
                    return middle
                if {values}[middle] < target:
                    low = middle + 1
                else:
                    high = middle - 1
            return -1
    """)
    return Program("binary", name, source, f"{name}({xs}, {xs[place]})", place)


def account(dice: KeyedRandom, words: list[str]) -> Program:
    """A class with state: a balance that never goes below zero."""
    start, moves = 100 * dice.between(1, 50), [dice.between(-900, 900) for _ in range(dice.between(3, 6))]
    name = dice.pick(("Account", "Wallet", "Till", "Ledger", "Purse"))
    source = _source(f"""
        class {name}:
            «doc»

            def __init__(self, balance):
                self.balance = balance

            def apply(self, moves):
                for move in moves:
                    if self.balance + move >= 0:  # «why»
                        self.balance += move
                return self.balance
    """)
    value = start
    for move in moves:
        value = value + move if value >= -move else value
    return Program("account", name, source, f"{name}({start}).apply({moves})", value)


PROGRAMS: tuple[Callable[[KeyedRandom, list[str]], Program], ...] = (
    above,
    running,
    divisor,
    primes,
    count,
    longest,
    fahrenheit,
    bill,
    window,
    steps,
    shift,
    group,
    binary,
    account,
)
