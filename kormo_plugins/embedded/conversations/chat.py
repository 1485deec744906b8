"""Conversations with an assistant, in Korean and English: instruction data for offline use.

    generate(params, shard, shards) → documents with meta["messages"] (see `kormo_plugins/documents/conversation.py`),
                                      meta["tasks"] and meta["difficulty"]

A conversation has one to three exchanges (`chat_tasks`) about one world, sometimes after a system turn. With
`reasoning`, answers that need thought are preceded by it. The difficulty is that of the hardest exchange plus one for
each preceding exchange: 0 (a greeting) to 5.

Questions are split by a hash of their text: one in sixteen is held out, for any seed, and is generated only with
`held_out: true`. A trained model can thus be tested on unseen questions of the same kinds. Everything is synthetic and
labelled so; names, places and facts are made up.
"""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.documents.conversation import with_messages
from kormo_plugins.documents.document import Document
from kormo_plugins.documents.message import Message
from kormo_plugins.embedded import worlds
from kormo_plugins.embedded.conversations.chat_params import TASKS, EmbeddedChatParams
from kormo_plugins.embedded.conversations.chat_tasks import LEVELS, WRITE, Exchange
from kormo_plugins.embedded.generate import LICENSE
from kormo_plugins.embedded.lexicon import lexicon
from kormo_plugins.embedded.template import Word
from kormo_plugins.embedded.writer import Writer
from kormo_plugins.store.keyed_random import KeyedRandom, key

NAME = "embedded_chat"
VERSION = 1
HELD_OUT = 16
"""One in this many questions is held out from training."""
SYSTEM_TURNS = 0.15
"""Share of conversations with a system turn."""
TRIES = 400
"""Maximum draws to find an exchange on the wanted side; each is held out with probability 1 / `HELD_OUT`."""


def is_held_out(question: str) -> bool:
    """Whether a question is held out from training."""
    return key("held out", question) % HELD_OUT == 0


def generate(params: EmbeddedChatParams, shard: int = 0, shards: int = 1) -> Iterator[Document]:
    """Conversations of part `shard`: a contiguous run, so that the union over shards is the same for any number."""
    total = params.conversations
    for number in range(total * shard // shards, total * (shard + 1) // shards):
        yield write(params, number)


def write(params: EmbeddedChatParams, number: int) -> Document:
    """Conversation `number`, a pure function of the parameters and the number."""
    language = ("ko", "en")[number % 2] if params.language == "all" else params.language
    name = (NAME, params.seed, params.style, language, "held" if params.held_out else "train")
    dice, lex = KeyedRandom(*name, number), lexicon(params.style)
    slots = worlds.world(dice, lex, language, number, name)
    w = Writer(lex, dice, language, 0, slots, dice.pick(LEVELS))
    reasoned = dice.chance(params.reasoning)
    tasks = params.tasks or TASKS
    messages: list[Message] = []
    if dice.chance(SYSTEM_TURNS):
        messages.append({"role": "system", "content": _text(w.pair("chat.system"), language)})
    chosen_tasks: list[str] = []
    difficulty = 0
    for turn in range(dice.between(1, params.turns)):
        first = number // (2 if params.language == "all" else 1)
        task, exchange = _exchange(w, tasks, tasks[first % len(tasks)] if turn == 0 else "", params.held_out)
        chosen_tasks.append(task)
        difficulty = max(difficulty, exchange.difficulty)
        messages += _messages(exchange, language, reasoned)
    document = Document(
        id="-".join(map(str, (*name, number))),
        text="",
        language=language,
        license=LICENSE,
        synthetic=True,
        generator=NAME,
        meta={"tasks": chosen_tasks, "difficulty": difficulty + len(chosen_tasks) - 1},
    )
    return with_messages(document, messages)


def _exchange(w: Writer, tasks: list[str] | tuple[str, ...], wanted: str, held_out: bool) -> tuple[str, Exchange]:
    """An exchange whose question is on the wanted side; of the wanted task, if that has such a question."""
    for attempt in range(TRIES):
        task = wanted if wanted and attempt < TRIES // 2 else w.dice.pick(tasks)
        exchange = WRITE[task](w)
        if is_held_out(_text(exchange.question, w.language)) == held_out:
            return task, exchange
        w.slots.update(worlds.further(w.dice, w.lexicon, w.language))
    raise AssertionError(f"no question of {', '.join(tasks)} is {'held out' if held_out else 'for training'}")


def _messages(exchange: Exchange, language: str, reasoned: bool) -> list[Message]:
    answer: Message = {"role": "assistant", "content": _text(exchange.answer, language)}
    if reasoned and exchange.thought is not None:
        answer["reasoning_content"] = _text(exchange.thought, language)
    return [{"role": "user", "content": _text(exchange.question, language)}, answer]


def _text(word: Word, language: str) -> str:
    return word.ko if language == "ko" else word.en
