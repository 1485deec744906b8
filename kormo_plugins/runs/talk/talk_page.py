"""A page on which one or two models are asked the same, side by side. Served to this machine alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError, printable
from kormo_plugins.runs.talk.talk import Speaker, Turn, Wish

if TYPE_CHECKING:
    from gradio import Blocks, Chatbot
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
Histories = list[list[Turn]]


class OnlyHere:
    """Tells the browser to load nothing from elsewhere: Gradio's page names fonts and a script of other hosts.

    Args:
        app: the ASGI application around which it stands.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            await send(message)

        await self.app(scope, receive, with_policy)


def page(speakers: Sequence[Speaker]) -> Blocks:
    """The page, not yet served: a column for each model, one question for all of them."""
    import gradio

    any_chat = any(speaker.is_chat for speaker in speakers)
    blocks: Blocks = gradio.Blocks(title="kormo chat", analytics_enabled=False)
    with blocks:
        with gradio.Row():
            columns = [_column(speaker) for speaker in speakers]
        question = gradio.Textbox(label="Ask" if any_chat else "Begin a text", autofocus=True)
        with gradio.Row():
            thinking = gradio.Checkbox(label="think first", value=False, visible=any_chat)
            length = gradio.Slider(16, 2048, value=256, step=16, label="longest answer, tokens")
            clear = gradio.Button("Begin anew")

        def answer(text: str, think: bool, new: float, *histories: list[Turn]) -> Iterator[list[object]]:
            yield from answers(speakers, text, Wish(think, int(new)), list(histories))

        question.submit(answer, [question, thinking, length, *columns], [question, *columns])
        clear.click(lambda: [[] for _ in speakers], None, columns)
    made: Blocks = blocks
    return made


def _column(speaker: Speaker) -> Chatbot:
    """What a model said, letter by letter: as Markdown, a base model's `~~` and `1.` would be drawn as something else.
    Of Gradio's buttons the one that sends a conversation to a public page is left out."""
    import gradio

    column: Chatbot = gradio.Chatbot(label=printable(speaker.name), height=520, render_markdown=False, buttons=["copy"])
    return column


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
    """Serves the page on the loopback interface until it is interrupted; no link to it is made elsewhere, and its
    browser asks nobody else either (see `OnlyHere`)."""
    import gradio
    from starlette.middleware import Middleware

    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    page(speakers).launch(
        server_name=LOOPBACK,
        server_port=port,
        share=False,
        quiet=False,
        theme=theme,
        footer_links=[],
        app_kwargs={"middleware": [Middleware(OnlyHere)]},
    )
