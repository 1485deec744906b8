"""Arithmetic word problems with every step worked out; numbers are computed, never hard-coded."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from kormo_plugins.embedded.template import both
from kormo_plugins.embedded.writer import Writer


def _numbers(w: Writer, **values: int | str) -> None:
    w.slots.update({name: both(value) for name, value in values.items()})


def _item(w: Writer) -> None:
    w.slots["item"] = w.dice.pick(w.lexicon.words["fruit"])


def sum_and_rest(w: Writer) -> None:
    """Addition followed by subtraction."""
    scale = w.dice.pick((20, 100, 1000))
    a, b = w.dice.between(scale // 4, scale), w.dice.between(2, scale // 2)
    c = w.dice.between(2, a + b - 2)
    _numbers(w, a=a, b=b, c=c, ab=a + b, r=a + b - c)
    _item(w)
    w.say("arithmetic.sum")


def price(w: Writer) -> None:
    """Several items at one price, and the change."""
    n, each = w.dice.between(2, 25), 50 * w.dice.between(3, 90)
    total = n * each
    note = next(m for m in (1000, 5000, 10_000, 50_000, 100_000, 200_000) if m > total)
    _numbers(w, n=n, each=each, total=total, note=note, change=note - total)
    _item(w)
    w.say("arithmetic.price")


def share(w: Writer) -> None:
    """Division with remainder, and its check."""
    people, each = w.dice.between(2, 24), w.dice.between(3, 60)
    rest = w.dice.between(1, people - 1)
    total = people * each + rest
    _numbers(w, total=total, n=people, each=each, used=people * each, rest=rest)
    _item(w)
    w.say("arithmetic.share")


def speed(w: Writer) -> None:
    """Distance, speed and time."""
    rate, hours = w.dice.between(3, 90), w.dice.between(2, 12)
    extra = w.dice.between(2, 80)
    _numbers(w, rate=rate, n=hours, km=rate * hours, extra=extra, total=rate * hours + extra)
    w.say("arithmetic.speed")


def percent(w: Writer) -> None:
    """A percentage with an integer result."""
    part = 5 * w.dice.between(1, 19)
    whole = 100 * w.dice.between(2, 95)
    _numbers(
        w,
        part=part,
        whole=whole,
        r=whole * part // 100,
        left=whole - whole * part // 100,
        hundredth=whole // 100,
    )
    w.say("arithmetic.percent")


def average(w: Writer) -> None:
    """The mean of numbers with an integer mean."""
    count = w.dice.between(3, 6)
    mean = w.dice.between(20, 95)
    spread = mean // count  # so that the last value, which completes the sum, is positive
    values = [w.dice.between(mean - spread, mean + spread) for _ in range(count - 1)]
    values.append(count * mean - sum(values))
    plus, commas = " + ".join(map(str, values)), ", ".join(map(str, values))
    _numbers(w, n=count, plus=plus, total=sum(values), mean=mean, list=commas)
    w.say("arithmetic.average")


def area(w: Writer) -> None:
    """Area and perimeter of a rectangle."""
    a, b = w.dice.between(3, 80), w.dice.between(3, 60)
    _numbers(w, a=a, b=b, area=a * b, half=a + b, around=2 * (a + b))
    w.say("arithmetic.area")


def equation(w: Writer) -> None:
    """A linear equation in one unknown."""
    a, x, b = w.dice.between(2, 19), w.dice.between(2, 60), w.dice.between(1, 150)
    _numbers(w, a=a, x=x, b=b, c=a * x + b, ax=a * x)
    w.say("arithmetic.equation")


def product(w: Writer) -> None:
    """A long multiplication, split by place value."""
    a, b = w.dice.between(12, 989), w.dice.between(12, 98)
    tens, ones = b // 10 * 10, b % 10
    _numbers(w, a=a, b=b, tens=tens, ones=ones, at=a * tens, ao=a * ones, r=a * b)
    w.say("arithmetic.product")


def clock(w: Writer) -> None:
    """Minutes added to a time of day, within the same half of the day."""
    hour, minute, lasting = w.dice.between(1, 8), w.dice.between(1, 59), w.dice.between(15, 150)
    total = minute + lasting
    _numbers(
        w,
        hour=hour,
        minute=minute,
        lasting=lasting,
        total=total,
        carry=total // 60,
        rest=total % 60,
        end=hour + total // 60,
    )
    w.say("arithmetic.clock")


def fraction(w: Writer) -> None:
    """Two fractions added over their common denominator, then reduced."""
    b, d = w.dice.some((2, 3, 4, 5, 6, 7, 8, 9, 10, 12), 2)
    a, c = w.dice.between(1, b - 1), w.dice.between(1, d - 1)
    r = Fraction(a, b) + Fraction(c, d)
    # both denominators divide b * d, so it is always a common denominator
    _numbers(
        w,
        a=a,
        b=b,
        c=c,
        d=d,
        bd=b * d,
        ad=a * d,
        cb=c * b,
        top=a * d + c * b,
        r=str(r),
        a1b=f"{a}/{b}",
        cd=f"{c}/{d}",
        topbd=f"{a * d + c * b}/{b * d}",
    )
    w.say("arithmetic.fraction")


KINDS: tuple[Callable[[Writer], None], ...] = (
    sum_and_rest,
    price,
    share,
    speed,
    percent,
    average,
    area,
    equation,
    product,
    clock,
    fraction,
)


def write(w: Writer) -> None:
    """Problems for one person of the world, each with its steps, numbered from the second on."""
    words = w.lexicon.words
    w.slots["kin"] = w.dice.pick(words["kin"])
    w.say("arithmetic.open")
    w.paragraph()
    number = 0
    while not (number and w.full):
        number += 1
        for name in ("venue", "event", "vehicle"):
            w.slots[name] = w.dice.pick(words[name])
        w.open("\n" if w.dice.chance(0.3) else " ")
        w.say("arithmetic.number", number=both(number))
        w.dice.pick(KINDS)(w)
