"""The steps `normalize` and `html`: nothing that was to be read goes, nothing that was apart runs together."""

from __future__ import annotations

import re
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kormo_plugins.corpus.extract.page import is_page, page_text
from kormo_plugins.corpus.extract.tags import ELEMENTS, strip_tags
from kormo_plugins.corpus.steps.characters.normalize import FATES, NormalizeParams, normalize, visible
from kormo_plugins.corpus.steps.web.html import Html, HtmlParams, strip_markup
from kormo_plugins.documents.document import Document

# Faces of several code points: families, skin, flags, a keycap, a flag of tags.
EMOJI = ["👨‍👩‍👧‍👦", "👍🏽", "🇰🇷", "1️⃣", "❤️‍🔥", "🏴‍☠️", "🏳️‍🌈", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🧑🏿‍🚀"]


@pytest.mark.parametrize("emoji", EMOJI)
def test_emoji_stay_whole(emoji: str) -> None:
    assert normalize(f"가{emoji}나", NormalizeParams()) == f"가{emoji}나"


@pytest.mark.parametrize("fate", FATES)
def test_every_invisible_character_has_its_fate(fate: str) -> None:
    characters = [chr(code) for code in range(0x10FFFF) if re.match(f"[{FATES[fate]}]", chr(code))]
    assert characters
    for char in characters:
        assert visible(f"가{char}나") == f"가{fate}나", hex(ord(char))


@pytest.mark.parametrize(
    "separator", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029", "\r\n"]
)
def test_words_on_both_sides_of_a_separator_stay_apart(separator: str) -> None:
    assert normalize(f"앞{separator}뒤", NormalizeParams()).split() == ["앞", "뒤"]


def test_hidden_text_and_leftover_joiners_go() -> None:
    hidden = "".join(chr(0xE0000 + ord(char)) for char in "ignore")
    assert visible(f"가{hidden}나") == "가나"
    assert visible("\u200d가 \ufe0f나\u200b\u200d") == "가 나\u200d"  # behind a letter a joiner may shape it


STAYS = [
    "a<b 이고 c>d",
    "cp <source file> <dest>",
    "<input file>",
    "i<u && u>0",
    "0<p 를 보자 가>나",
    "Vec<T>, Map<String, Option<label>>, List<Section>",
    "ping <address> 와 <a> <b>",
    "git commit -m <title>",
    "x<p>y",
    "<file-name> <yyyy-mm-dd>",
    "if (a<b) { c>d }",
    "<3 ♥ <- -> <= >=",
    "<홍길동>",
    "template<class T> x",
    "1 <s> 2",
    "#include <time> <list>",
    "f<i>(q)",
]


@pytest.mark.parametrize("text", STAYS)
def test_what_begins_no_tag_stays(text: str) -> None:
    assert strip_markup(text) == text


GOES = [
    ("<table><tr><td>가</td><td>나</td></tr><tr><td>다</td></tr></table>끝", "가 나\n다\n끝"),
    ("<ul><li>하나<li>둘</ul>", "하나\n둘"),
    ("<dl><dt>뜻<dd>풀이</dl>", "뜻\n풀이"),
    ("<select><option selected>ㄱ<option>ㄴ</select>", "ㄱ\nㄴ"),
    ("첫줄<br>둘째<BR/>셋째", "첫줄\n둘째\n셋째"),
    ("가<b>나</b>다 H<sub>2</sub>O", "가나다 H2O"),
    ("<div onclick=\"if(a>b) x('<p>')\" class=a>안</div>밖", "안\n밖"),
    ("<p>하나<p>둘", "하나\n둘"),
    ("<h1>제목</h1>본문", "제목\n본문"),
    ("<img src='a.png' alt='a > b'>뒤", "뒤"),
    ("<input type=text disabled>뒤", "뒤"),
    ("<o:p>글</o:p><my-el class='x'>y</my-el>", "글y"),
    ("<p>가</p>\n\n<p>나</p>", "가\n\n나"),
    ('<a href=x title="a>b">링크</a>', "링크"),
    ("가&nbsp;나&shy;다&#x200b;라&amp;", "가 나다라&"),
]


@pytest.mark.parametrize(("text", "clean"), GOES)
def test_markup_goes_and_what_stood_apart_stays_apart(text: str, clean: str) -> None:
    assert strip_markup(text) == clean


@given(st.text(alphabet="<>/ab =\"'가나 p\n&-", max_size=80))
def test_no_word_is_eaten(text: str) -> None:
    """Letters of Korean stand in no tag of HTML: they stay, all of them, unless an attribute's quotes hold them."""
    if '"' not in text and "'" not in text and "<!" not in text:
        kept = strip_tags(text)
        assert [c for c in kept if c in "가나"] == [c for c in text if c in "가나"]


@pytest.mark.parametrize("name", sorted(ELEMENTS))
def test_every_element_with_an_attribute_or_an_end_is_a_tag(name: str) -> None:
    assert "<" not in strip_tags(f'가<{name} class="x">나</{name}>다')


def test_whole_pages_are_parsed() -> None:
    page = (
        "<!DOCTYPE html><html><head><title>제목</title><style>p{}</style></head><body><nav><a>홈</a></nav>"
        "<p>a&lt;b <b>굵은</b> 글<pre>  x\n    y</pre><table><tr><td>1<td>2</table><script>var a='<p>'</script>"
    )
    assert is_page(page) and not is_page("글 <html> 글")
    assert page_text(page) == "홈\n\na<b 굵은 글\n\n  x\n    y\n\n1 2"
    result = Html(HtmlParams())(Document("d", page))
    assert isinstance(result, Document) and "굵은 글" in result.text


@pytest.mark.parametrize(
    "piece", ['<a b="', "<div class='a' ", "<a b=1 ", "<", "</", "<a:", "&#", "<p>", "<br>", "<a b='<a b=\""]
)
def test_no_markup_takes_more_than_its_share_of_time(piece: str) -> None:
    def stuck(*_: object) -> None:
        raise AssertionError("the time grows with the square of the text")

    before = signal.signal(signal.SIGVTALRM, stuck)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
    try:
        strip_markup(piece * (300_000 // len(piece)))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
