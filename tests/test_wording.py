"""Words of messages that many rooms use."""

from __future__ import annotations

import re

import pytest

from kormo_plugins.wording.numbers import many

from .test_house import PACKAGE, modules

BY_HAND = re.compile(r":,\} documents (?:read|rejected|removed)")


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 documents"), (1, "1 document"), (2, "2 documents"), (1_234_567, "1,234,567 documents")]
)
def test_one_thing_is_in_the_singular(count: int, said: str) -> None:
    assert many(count, "document") == said


def test_what_became_of_documents_is_counted_so() -> None:
    found = [path.relative_to(PACKAGE) for path in modules() if BY_HAND.search(path.read_text(encoding="utf-8"))]
    assert not found
