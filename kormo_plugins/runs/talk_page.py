"""A page on which one or two models are asked the same, side by side. Served to this machine alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError
from kormo_plugins.runs.talk import Speaker, Turn, Wish

if TYPE_CHECKING:
    from gradio import Blocks

LOOPBACK = "127.0.0.1"
Histories = list[list[Turn]]


def page(speakers: Sequence[Speaker]) -> Blocks:
    """The page, not yet served: a column for each model, one question for all of them."""
    import gradio

    blocks: Blocks = gradio.Blocks(title="kormo chat", analytics_enabled=False)
    with blocks:
        with gradio.Row():
            # As text, not as Markdown: a picture that a model writes would be fetched, and could carry the text away.
            columns = [
                gradio.Chatbot(label=speaker.name, height=520, render_markdown=False, sanitize_html=True)
                for speaker in speakers
            ]
        question = gradio.Textbox(label="Ask" if any(s.is_chat for s in speakers) else "Begin a text", autofocus=True)
        with gradio.Row():
            thinking = gradio.Checkbox(label="think first", value=False)
            length = gradio.Slider(16, 2048, value=256, step=16, label="longest answer, tokens")
            clear = gradio.Button("Begin anew")

        def answer(text: str, think: bool, new: float, *histories: list[Turn]) -> Iterator[list[object]]:
            yield from answers(speakers, text, Wish(think, int(new)), list(histories))

        question.submit(answer, [question, thinking, length, *columns], [question, *columns])
        clear.click(lambda: [[] for _ in speakers], None, columns)
    made: Blocks = blocks
    return made


def answers(speakers: Sequence[Speaker], text: str, wish: Wish, histories: Histories) -> Iterator[list[object]]:
    """What the page shows, piece by piece: the emptied question, and each model's conversation."""
    asked: Histories = [
        [*(_plain(turn) for turn in history), {"role": "user", "content": text}] for history in histories
    ]
    shown: Histories = [[*history, {"role": "assistant", "content": ""}] for history in asked]
    for place, speaker in enumerate(speakers):
        try:
            for piece in speaker.say(asked[place], wish):
                shown[place][-1]["content"] += piece
                yield ["", *shown]
        except KormoError as error:
            shown[place][-1]["content"] = f"({error.found}: {error.why}; {error.do})"
            yield ["", *shown]


def _plain(turn: Turn) -> Turn:
    """A turn as the page gives it back, without what the page added; its content may be a list of parts."""
    content: object = turn["content"]
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content)
    return {"role": turn["role"], "content": str(content)}


def serve(speakers: Sequence[Speaker], port: int | None) -> None:
    """Serves the page on the loopback interface until it is interrupted; no link to it is made elsewhere."""
    page(speakers).launch(server_name=LOOPBACK, server_port=port, share=False, quiet=False)
