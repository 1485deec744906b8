"""A page that sends the same prompt to one or two models side by side. Served on the loopback interface only."""

from __future__ import annotations

import html
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
    """Forbids the browser to load anything from elsewhere: Gradio's page refers to fonts and a script on other hosts.

    Args:
        app: the ASGI application that it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            """Passes a message of the application on, with the content security policy among the response's headers."""
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
        question = gradio.Textbox(label="Ask" if any_chat else "Text to continue", autofocus=True)
        with gradio.Row():
            thinking = gradio.Checkbox(label="reason first", value=False, visible=any_chat)
            length = gradio.Slider(16, 2048, value=256, step=16, label="maximum answer length in tokens")
            clear = gradio.Button("New conversation")

        def answer(text: str, think: bool, new: float, *histories: list[Turn]) -> Iterator[list[object]]:
            """Answers of all models to one message, as the columns show them, again for each piece of text."""
            yield from answers(speakers, text, Wish(think, int(new)), list(histories))

        question.submit(answer, [question, thinking, length, *columns], [question, *columns])
        clear.click(lambda: [[] for _ in speakers], None, columns)
    made: Blocks = blocks
    return made


def _column(speaker: Speaker) -> Chatbot:
    """What a model said, letter by letter: as Markdown, a base model's `~~` and `1.` would be drawn as something else,
    and `$$` as a formula. Gradio's buttons are left out: one sends a conversation to a public page, the other copies
    what the page holds (`as_shown`), not what it shows."""
    import gradio

    column: Chatbot = gradio.Chatbot(
        label=printable(speaker.name), height=520, render_markdown=False, latex_delimiters=[], buttons=[]
    )
    return column


def answers(speakers: Sequence[Speaker], text: str, wish: Wish, histories: Histories) -> Iterator[list[object]]:
    """Updates of the page, piece by piece: the emptied question, and each model's conversation."""
    conversations: Histories = [
        [*(_plain(turn) for turn in history), {"role": "user", "content": text}] for history in histories
    ]
    shown: Histories = [[*history, {"role": "assistant", "content": ""}] for history in conversations]
    for place, speaker in enumerate(speakers):
        try:
            for piece in speaker.say(conversations[place], wish):
                shown[place][-1]["content"] += piece
                yield ["", *_shown(shown)]
        except KormoError as error:
            shown[place][-1]["content"] = f"({error.found}: {error.why}; {error.do})"
            yield ["", *_shown(shown)]


def _shown(histories: Histories) -> Histories:
    return [[as_shown(turn) for turn in history] for history in histories]


def as_shown(turn: Turn) -> Turn:
    """A turn as the page holds it. Gradio's Chatbot takes any text for HTML, in which it leaves links and images of all
    schemes (`javascript:`, `data:`): nothing of a model's text is markup."""
    return {"role": turn["role"], "content": html.escape(turn["content"], quote=False)}


def _plain(turn: Turn) -> Turn:
    """A turn as it was said, of what the page gives back; its content may be a list of parts by then."""
    content: object = turn["content"]
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content)
    return {"role": turn["role"], "content": html.unescape(str(content))}


def serve(speakers: Sequence[Speaker], port: int | None) -> None:
    """Serves the page on the loopback interface until interrupted; no public link is created, and the browser contacts
    no other host (see `OnlyHere`)."""
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
