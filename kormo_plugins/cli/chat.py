"""`kormo chat`: talk to any finished stage, in the terminal or on a local web page."""

from __future__ import annotations

from pathlib import Path

import click

from kormo_plugins.errors import KormoError, printable
from kormo_plugins.runs.talk.talk import Speaker, Turn, Wish, open_speaker
from kormo_plugins.runs.talk.talk_page import serve

HELP = "/clear starts a new conversation, /quit or Ctrl-D exits."
CHAT_HELP = f"/think and /no-think switch reasoning, {HELP}"
MOST = 2


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN [RUN]")
@click.option("--think/--no-think", default=False, show_default=True, help="Let a chat model reason first.")
@click.option(
    "--max-new-tokens",
    default=256,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum length of an answer, in tokens.",
)
@click.option("--web", is_flag=True, help="Serve a page on 127.0.0.1 instead; compares up to two models.")
@click.option("--port", type=int, help="Port of the page; by default the first free one from 7860.")
@click.option(
    "--plugin", "modules", multiple=True, metavar="MODULE", help="Load this plugin module too, like kormo.plugins."
)
def chat(
    models: tuple[Path, ...], think: bool, max_new_tokens: int, web: bool, port: int | None, modules: tuple[str, ...]
) -> None:
    """Talk to the model of RUN: a finished run, a checkpoint or an export.

    A chat model answers through its chat template; a base model continues the typed text. Sampling settings are those
    of the model's generation_config.json.
    """
    if len(models) > MOST or (len(models) > 1 and not web):
        raise KormoError(
            where="kormo chat",
            found=f"{len(models)} models",
            why="the terminal takes one model, the page up to two side by side",
            do="name one, or two with --web",
        )
    speakers = [open_speaker(model, modules) for model in models]
    if think and not any(speaker.is_chat for speaker in speakers):
        raise KormoError(
            where="kormo chat: --think",
            found=f"{' and '.join(speaker.name for speaker in speakers)}: no chat model",
            why="a base model continues a text; only a chat model reasons before it answers",
            do="leave --think out, or name the run of a recipe with kormo.role: chat",
        )
    if web:
        return serve(speakers, port)
    speaker = speakers[0]
    kind = "answers" if speaker.is_chat else "is a base model and continues a text"
    click.echo(f"{speaker.name} {kind}. {_help(speaker)}")
    _conversation(speaker, Wish(think, max_new_tokens))


def _conversation(speaker: Speaker, wish: Wish) -> None:
    """Reads prompts and prints answers until the end of the input."""
    turns: list[Turn] = []
    while (text := _read()) is not None:
        if speaker.is_chat and text in ("/think", "/no-think"):
            wish = Wish(text == "/think", wish.max_new_tokens)
            click.echo(f"reasoning is {'on' if wish.thinking else 'off'}")
        elif text == "/clear":
            turns = []
        elif text.startswith("/"):
            click.echo(_help(speaker))
        elif text.strip():
            turns = _answered(speaker, [*turns, {"role": "user", "content": text}], wish)


def _help(speaker: Speaker) -> str:
    return CHAT_HELP if speaker.is_chat else HELP


def _answered(speaker: Speaker, turns: list[Turn], wish: Wish) -> list[Turn]:
    """Prints the answer; returns the conversation with it, or without the question if it was refused."""
    pieces = []
    try:
        for piece in speaker.say(turns, wish):
            pieces.append(piece)
            click.echo(printable(piece), nl=False)  # a model may write what moves the cursor
    except KormoError as error:
        click.echo(error.render(), err=True)
        return turns[:-1]
    click.echo()
    return [*turns, {"role": "assistant", "content": "".join(pieces)}]


def _read() -> str | None:
    """Reads one line; None at the end of the input or `/quit`."""
    try:
        text = input("> ")
    except EOFError:
        return None
    return None if text.strip() == "/quit" else text
