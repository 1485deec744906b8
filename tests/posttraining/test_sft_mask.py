"""From conversations to packed rows: ids and labels are the chat template's, token by token, and KORMo's mask."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kormo_plugins.documents.conversation import messages_of, with_messages
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.batches.collators import document_mask, join
from kormo_plugins.mixture.batches.gather import IGNORE
from kormo_plugins.mixture.dataset import MixtureDataset, open_mixture
from kormo_plugins.mixture.params import DocumentMaskParams, MixtureRecipe
from kormo_plugins.mixture.row_plans.policy import packing_of
from kormo_plugins.mixture.row_plans.rows import build_rows
from kormo_plugins.plugins.registry import registry
from kormo_plugins.shards.reader import Shards
from kormo_plugins.shards.tokenize import tokenize_source
from kormo_plugins.shards.verify import verify
from kormo_plugins.tokenizer.chat.conversations import ChatEncoder
from kormo_plugins.tokenizer.layout import read_layout
from tests.tokenizer.conftest import chat_folder, folder, params, sentence  # noqa: F401

ROW = 192


def conversation(number: int) -> Document:
    """One to three exchanges of made-up sentences, with and without reasoning."""
    draw = random.Random(number)
    messages: list[dict[str, str]] = []
    if draw.random() < 0.3:
        messages.append({"role": "system", "content": sentence(draw, "ko").strip()})
    for _ in range(draw.randint(1, 3)):
        messages.append({"role": "user", "content": sentence(draw, draw.choice(["ko", "en"])).strip()})
        messages.append({"role": "assistant", "content": sentence(draw, "ko").strip()})
        if draw.random() < 0.5:
            messages[-1]["reasoning_content"] = sentence(draw, "en").strip()
    return with_messages(Document(f"c{number}", "", language="ko"), messages)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [conversation(number) for number in range(60)]


@pytest.fixture(scope="module")
def tokenizer(chat_folder: Path) -> Any:  # noqa: F811
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(chat_folder)


def packed(
    tmp_path: Path, tokenizer: Path, sources: dict[str, list[Document]], row: int = ROW, **recipe: Any
) -> MixtureDataset:
    """A mixture in which sources named `chat…` are conversations."""
    shards, rows, steps = {}, {}, 0
    layout = read_layout(tokenizer)
    mixture = MixtureRecipe(**recipe)
    for name, given in sources.items():
        shards[name], rows[name] = tmp_path / "shards" / name, tmp_path / "rows" / name
        chat = name.startswith("chat")
        ends = {"conversations": ChatEncoder(tokenizer)} if chat else {"bos_id": layout.bos, "eos_id": layout.eos}
        tokenize_source(given, tokenizer, shards[name], source=name, chunk_characters=4000, **ends)
        policy, values = packing_of(mixture, registry(), name, conversations=chat)
        steps += build_rows(shards[name], row, policy, values, rows[name])["rows"]
    return open_mixture(rows, shards, mixture, seed=3, row_length=row, steps=steps, global_batch=2, pad_id=layout.pad)


def test_ids_and_labels_of_packed_rows_are_the_templates(
    documents: list[Document],
    tokenizer: Any,
    chat_folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    data = packed(tmp_path, chat_folder, {"chat": documents}, row=512)
    batch = document_mask(DocumentMaskParams())(data.__getitems__(range(len(data))))
    names = {document.id: document for document in documents}
    seen = set()
    for index in range(len(data)):
        place = 0
        ids, labels = batch["input_ids"][index].numpy(), batch["labels"][index].numpy()
        for number, start, end in data.sample(index).documents:
            document = names[data.rows["chat"].shards.name(number)]
            both = tokenizer.apply_chat_template(
                messages_of(document), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
            )
            assert (start, end) == (0, len(both["input_ids"])), "a conversation was cut"
            part = slice(place, place + end)
            assert ids[part].tolist() == both["input_ids"]
            mask = np.array(both["assistant_masks"]) == 1
            assert labels[part].tolist() == np.where(mask, ids[part], IGNORE).tolist()
            assert batch["position_ids"][index][part].tolist() == list(range(end))
            place += end
            seen.add(document.id)
        assert (labels[place:] == IGNORE).all()
    assert seen == set(names)
    assert not (batch["input_ids"] == read_layout(chat_folder).bos).any(), "a BOS stands before chat text"


def test_the_mask_of_a_written_example(chat_folder: Path, tokenizer: Any) -> None:  # noqa: F811
    """KORMo's own rule, written out by hand: earlier turns each by itself, the last with its reasoning."""
    messages = [
        {"role": "user", "content": "하나?"},
        {"role": "assistant", "content": "둘.", "reasoning_content": "earlier reasoning is not shown"},
        {"role": "user", "content": "셋?"},
        {"role": "assistant", "content": "넷.", "reasoning_content": "생각"},
    ]
    parts = [
        ("<|BOT|>user\n하나?<|EOT|>\n", 0),
        ("<|BOT|>assistant\n", 0),
        ("둘.<|EOT|>", 1),
        ("\n", 0),
        ("<|BOT|>user\n셋?<|EOT|>\n", 0),
        ("<|BOT|>assistant\n<think>\n", 0),
        ("생각\n</think>\n\n넷.<|EOT|>\n", 1),
    ]
    ids, mask = [], []
    for text, kept in parts:
        some = tokenizer.encode(text, add_special_tokens=False)
        ids += some
        mask += [kept] * len(some)
    found, lengths, trained = ChatEncoder(chat_folder)([with_messages(Document("x", ""), messages)])
    assert found.tolist() == ids and trained.tolist() == mask and lengths.tolist() == [len(ids)]
    messages[-1].pop("reasoning_content")
    found, _, trained = ChatEncoder(chat_folder)([with_messages(Document("x", ""), messages)])
    assert tokenizer.decode(found[trained == 1]) == "둘.<|EOT|>넷.<|EOT|>\n"
    assert tokenizer.decode(found).endswith("<think>\n\n</think>\n넷.<|EOT|>\n")


def test_texts_beside_conversations_keep_all_their_labels(
    documents: list[Document],
    chat_folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    texts = [Document(f"t{n}", document.text.replace("<think>", "")) for n, document in enumerate(documents)]
    alone = packed(tmp_path / "alone", chat_folder, {"texts": texts})
    assert alone.__getitems__([0]).trained is None
    data = packed(tmp_path / "both", chat_folder, {"texts": texts, "chat": documents})
    rows = data.__getitems__(range(len(data)))
    labels = document_mask(DocumentMaskParams())(rows)["labels"].numpy()
    text = np.flatnonzero(rows.source == data.names.index("texts"))
    inside = np.arange(ROW) < rows.filled[text, None]
    expected = np.where(inside & (rows.position_ids[text] > 0), rows.input_ids[text], IGNORE)
    assert (labels[text] == expected).all()
    one_by_one = document_mask(DocumentMaskParams())(join([rows[n] for n in range(len(rows))]))["labels"].numpy()
    assert (one_by_one == labels).all()
    assert (np.stack([rows[n]["labels"] for n in range(len(rows))]) == labels).all()


def test_a_conversation_longer_than_a_row(
    documents: list[Document],
    chat_folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    import json

    row = 96
    data = packed(tmp_path / "reject", chat_folder, {"chat": documents}, row)
    lengths = np.concatenate([n for _, n in data.rows["chat"].shards.windows(1000)])
    plan = json.loads((tmp_path / "reject/rows/chat/rows.json").read_text())
    assert 0 < plan["documents_dropped"] == (lengths > row).sum() < len(documents)
    assert plan["tokens_dropped"] == lengths[lengths > row].sum()
    assert plan["tokens_placed"] + plan["tokens_dropped"] == lengths.sum()
    whole = packed(tmp_path / "cut", chat_folder, {"chat": documents}, row, too_long="cut")
    assert whole.rows["chat"].manifest["tokens_dropped"] == whole.rows["chat"].manifest["documents_dropped"] == 0
    with pytest.raises(KormoError, match="answers would be trained without their questions"):
        packed(tmp_path / "concat", chat_folder, {"chat": documents}, row, packing={"name": "concat"})


def test_the_mask_is_part_of_the_shards(
    documents: list[Document],
    chat_folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    manifest = tokenize_source(
        documents, chat_folder, tmp_path, source="chat", chunk_characters=4000, conversations=ChatEncoder(chat_folder)
    )
    shards = Shards(tmp_path)
    before = shards.identity
    masks = np.concatenate(shards.trained)
    assert len(shards.names) > 2 and shards.masked and len(masks) == shards.tokens
    assert 0 < manifest["trained"] == masks.sum() < shards.tokens
    file = tmp_path / "shard-00001.trained.bin"
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    with pytest.raises(KormoError, match=r"shard-00001\.trained\.bin"):
        verify(tmp_path)
    again = tokenize_source(
        documents, chat_folder, tmp_path, source="chat", chunk_characters=4000, conversations=ChatEncoder(chat_folder)
    )
    assert again == manifest and Shards(tmp_path).identity == before


def test_what_cannot_be_encoded_is_named(chat_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(KormoError, match="document t: a plain text in a source of conversations"):
        ChatEncoder(chat_folder)([conversation(1), Document("t", "text")])
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).write_bytes((chat_folder / name).read_bytes())
    with pytest.raises(KormoError, match=r"a tokenizer without chat_template\.jinja"):
        ChatEncoder(bare)([conversation(1)])
    spec = (bare / "tokenizer.json").read_text().replace("<|BOT|>", "<|im_start|>")
    (bare / "tokenizer.json").write_text(spec)
    other = tmp_path / "other"
    bare.rename(other)
    with pytest.raises(KormoError, match=r"no token '<\|BOT\|>'"):
        ChatEncoder(other)([conversation(1)])
