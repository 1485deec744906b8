# ruff: noqa: E501  (tables of forms, one word a line)
"""Korean and English morphology against tables of forms as dictionaries and the school grammar give them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kormo_plugins.embedded import english
from kormo_plugins.korean.morphology import conjugate, particle
from kormo_plugins.korean.sounds import final_sound, is_syllable, join, split

VERBS = {  # 해라체 present, past; before a noun: now, past, future; 면, 아서, 해요체 present, 하십시오체 present
    "가다": "간다 갔다 가는 간 갈 가면 가서 가요 갑니다",
    "오다": "온다 왔다 오는 온 올 오면 와서 와요 옵니다",
    "먹다": "먹는다 먹었다 먹는 먹은 먹을 먹으면 먹어서 먹어요 먹습니다",
    "만들다": "만든다 만들었다 만드는 만든 만들 만들면 만들어서 만들어요 만듭니다",
    "돕다": "돕는다 도왔다 돕는 도운 도울 도우면 도와서 도와요 돕습니다",
    "굽다": "굽는다 구웠다 굽는 구운 구울 구우면 구워서 구워요 굽습니다",
    "입다": "입는다 입었다 입는 입은 입을 입으면 입어서 입어요 입습니다",
    "줍다": "줍는다 주웠다 줍는 주운 주울 주우면 주워서 주워요 줍습니다",
    "걷다": "걷는다 걸었다 걷는 걸은 걸을 걸으면 걸어서 걸어요 걷습니다",
    "듣다": "듣는다 들었다 듣는 들은 들을 들으면 들어서 들어요 듣습니다",
    "닫다": "닫는다 닫았다 닫는 닫은 닫을 닫으면 닫아서 닫아요 닫습니다",
    "깨닫다": "깨닫는다 깨달았다 깨닫는 깨달은 깨달을 깨달으면 깨달아서 깨달아요 깨닫습니다",
    "짓다": "짓는다 지었다 짓는 지은 지을 지으면 지어서 지어요 짓습니다",
    "젓다": "젓는다 저었다 젓는 저은 저을 저으면 저어서 저어요 젓습니다",
    "씻다": "씻는다 씻었다 씻는 씻은 씻을 씻으면 씻어서 씻어요 씻습니다",
    "넣다": "넣는다 넣었다 넣는 넣은 넣을 넣으면 넣어서 넣어요 넣습니다",
    "쌓다": "쌓는다 쌓았다 쌓는 쌓은 쌓을 쌓으면 쌓아서 쌓아요 쌓습니다",
    "부르다": "부른다 불렀다 부르는 부른 부를 부르면 불러서 불러요 부릅니다",
    "고르다": "고른다 골랐다 고르는 고른 고를 고르면 골라서 골라요 고릅니다",
    "따르다": "따른다 따랐다 따르는 따른 따를 따르면 따라서 따라요 따릅니다",
    "들르다": "들른다 들렀다 들르는 들른 들를 들르면 들러서 들러요 들릅니다",
    "이르다": "이른다 이르렀다 이르는 이른 이를 이르면 이르러서 이르러요 이릅니다",
    "쓰다": "쓴다 썼다 쓰는 쓴 쓸 쓰면 써서 써요 씁니다",
    "모으다": "모은다 모았다 모으는 모은 모을 모으면 모아서 모아요 모읍니다",
    "담그다": "담근다 담갔다 담그는 담근 담글 담그면 담가서 담가요 담급니다",
    "푸다": "푼다 펐다 푸는 푼 풀 푸면 퍼서 퍼요 풉니다",
    "주다": "준다 줬다 주는 준 줄 주면 줘서 줘요 줍니다",
    "마시다": "마신다 마셨다 마시는 마신 마실 마시면 마셔서 마셔요 마십니다",
    "되다": "된다 됐다 되는 된 될 되면 돼서 돼요 됩니다",
    "쉬다": "쉰다 쉬었다 쉬는 쉰 쉴 쉬면 쉬어서 쉬어요 쉽니다",
    "보내다": "보낸다 보냈다 보내는 보낸 보낼 보내면 보내서 보내요 보냅니다",
    "켜다": "켠다 켰다 켜는 켠 켤 켜면 켜서 켜요 켭니다",
    "배우다": "배운다 배웠다 배우는 배운 배울 배우면 배워서 배워요 배웁니다",
    "끓이다": "끓인다 끓였다 끓이는 끓인 끓일 끓이면 끓여서 끓여요 끓입니다",
    "일하다": "일한다 일했다 일하는 일한 일할 일하면 일해서 일해요 일합니다",
    "읽다": "읽는다 읽었다 읽는 읽은 읽을 읽으면 읽어서 읽어요 읽습니다",
    "앉다": "앉는다 앉았다 앉는 앉은 앉을 앉으면 앉아서 앉아요 앉습니다",
    "있다": "있다 있었다 있는 있은 있을 있으면 있어서 있어요 있습니다",
}
ADJECTIVES = {  # 해라체 present, past; before a noun; 면, 아서, 해요체, 하십시오체
    "크다": "크다 컸다 큰 크면 커서 커요 큽니다",
    "작다": "작다 작았다 작은 작으면 작아서 작아요 작습니다",
    "춥다": "춥다 추웠다 추운 추우면 추워서 추워요 춥습니다",
    "아름답다": "아름답다 아름다웠다 아름다운 아름다우면 아름다워서 아름다워요 아름답습니다",
    "좁다": "좁다 좁았다 좁은 좁으면 좁아서 좁아요 좁습니다",
    "빨갛다": "빨갛다 빨갰다 빨간 빨가면 빨개서 빨개요 빨갛습니다",
    "하얗다": "하얗다 하얬다 하얀 하야면 하얘서 하얘요 하얗습니다",
    "누렇다": "누렇다 누렜다 누런 누러면 누레서 누레요 누렇습니다",
    "좋다": "좋다 좋았다 좋은 좋으면 좋아서 좋아요 좋습니다",
    "길다": "길다 길었다 긴 길면 길어서 길어요 깁니다",
    "빠르다": "빠르다 빨랐다 빠른 빠르면 빨라서 빨라요 빠릅니다",
    "푸르다": "푸르다 푸르렀다 푸른 푸르면 푸르러서 푸르러요 푸릅니다",
    "바쁘다": "바쁘다 바빴다 바쁜 바쁘면 바빠서 바빠요 바쁩니다",
    "조용하다": "조용하다 조용했다 조용한 조용하면 조용해서 조용해요 조용합니다",
    "맛있다": "맛있다 맛있었다 맛있는 맛있으면 맛있어서 맛있어요 맛있습니다",
}


@pytest.mark.parametrize("word", VERBS)
def test_verbs(word: str) -> None:
    plain = [conjugate(word, form) for form in ("pres", "past", "는", "ㄴ", "ㄹ", "면", "아서")]
    levels = [conjugate(word, "pres", register=register) for register in ("haeyo", "hapsyo")]
    assert plain + levels == VERBS[word].split()


@pytest.mark.parametrize("word", ADJECTIVES)
def test_adjectives(word: str) -> None:
    plain = [conjugate(word, form, adjective=True) for form in ("pres", "past", "는", "면", "아서")]
    levels = [conjugate(word, "pres", adjective=True, register=register) for register in ("haeyo", "hapsyo")]
    assert plain + levels == ADJECTIVES[word].split()


@pytest.mark.parametrize(
    ("word", "form", "register", "expected"),
    [
        ("가다", "let", "hapsyo", "갑시다"), ("먹다", "let", "hapsyo", "먹읍시다"), ("만들다", "let", "plain", "만들자"),
        ("듣다", "let", "hapsyo", "들읍시다"), ("만들다", "imp", "haeyo", "만드세요"), ("굽다", "imp", "hapsyo", "구우십시오"),
        ("젓다", "imp", "plain", "저어라"), ("읽다", "imp", "hae", "읽어"), ("하다", "fut", "haeyo", "할 거예요"),
        ("알다", "ask", "plain", "아는가"), ("알다", "ask", "hapsyo", "압니까"), ("살다", "askpast", "haeyo", "살았어요"),
        ("가다", "hpres", "haeyo", "가세요"), ("가다", "hpast", "hapsyo", "가셨습니다"), ("읽다", "hpast", "plain", "읽으셨다"),
        ("먹다", "hpast", "haeyo", "드셨어요"), ("자다", "hpres", "hapsyo", "주무십니다"), ("살다", "hpast", "plain", "사셨다"),
        ("놀다", "니까", "plain", "노니까"), ("열다", "려고", "plain", "열려고"), ("걷다", "았던", "plain", "걸었던"),
    ],
)  # fmt: skip
def test_levels(word: str, form: str, register: str, expected: str) -> None:
    assert conjugate(word, form, register=register) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("책", "은 이 을 과 으로 이다 이에요"), ("나무", "는 가 를 와 로 다 예요"), ("물", "은 이 을 과 로 이다 이에요"),
        ("서울", "은 이 을 과 로 이다 이에요"), ("10", "은 이 을 과 으로 이다 이에요"), ("2", "는 가 를 와 로 다 예요"),
        ("1", "은 이 을 과 로 이다 이에요"), ("0", "은 이 을 과 으로 이다 이에요"), ("2,300", "은 이 을 과 으로 이다 이에요"),
        ("50,000", "은 이 을 과 으로 이다 이에요"), ("2.5", "는 가 를 와 로 다 예요"), ("2/3", "는 가 를 와 로 다 예요"),
        ("1/2", "은 이 을 과 로 이다 이에요"), ("Python", "은 이 을 과 으로 이다 이에요"), ("GPU", "는 가 를 와 로 다 예요"),
        ("URL", "은 이 을 과 로 이다 이에요"), ("test", "는 가 를 와 로 다 예요"), ("book", "은 이 을 과 으로 이다 이에요"),
        ("30%", "는 가 를 와 로 다 예요"), ("5kg", "은 이 을 과 으로 이다 이에요"), ("8km", "는 가 를 와 로 다 예요"),
        ("‘시작이 반’", "은 이 을 과 으로 이다 이에요"), ("한(2)", "는 가 를 와 로 다 예요"),
    ],
)  # fmt: skip
def test_particles(word: str, expected: str) -> None:
    found = [particle(word, name) for name in ("은", "이", "을", "과", "으로", "이다")]
    assert [*found, particle(word, "이다", "haeyo")] == expected.split()


@given(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3))
def test_split_agrees_with_unicode(syllable: str) -> None:
    lead, vowel, tail = split(syllable)
    jamo = unicodedata.normalize("NFD", syllable)
    assert join(lead, vowel, tail) == syllable
    assert ord(jamo[0]) == 0x1100 + lead and bool(tail) == (len(jamo) == 3)
    assert is_syllable(syllable) and final_sound(syllable) == tail


def test_bad_forms_are_refused() -> None:
    for word, form in (("책", "pres"), ("가다", "무엇")):
        with pytest.raises(ValueError):
            conjugate(word, form)


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("stop", "stops stopped stopped stopping"), ("carry", "carries carried carried carrying"),
        ("make", "makes made made making"), ("write", "writes wrote written writing"), ("dig", "digs dug dug digging"),
        ("play", "plays played played playing"), ("wash", "washes washed washed washing"), ("dye", "dyes dyed dyed dyeing"),
        ("hum", "hums hummed hummed humming"), ("go", "goes went gone going"), ("have", "has had had having"),
    ],
)  # fmt: skip
def test_english_verbs(verb: str, forms: str) -> None:
    assert [english.conjugate(verb, form) for form in ("s", "past", "pp", "ing")] == forms.split()


def test_english_nouns() -> None:
    pairs = {"shelf": "shelves", "box": "boxes", "story": "stories", "day": "days", "pair of gloves": "pairs of gloves",
             "rice cake": "rice cakes", "potato": "potatoes", "bus stop": "bus stops"}  # fmt: skip
    assert {word: english.plural(word) for word in pairs} == pairs
    articles = {
        "apple": "an",
        "hour": "an",
        "useful tool": "a",
        "one-way street": "a",
        "owl": "an",
        "kettle": "a",
    }
    assert {word: english.article(word) for word in articles} == articles
