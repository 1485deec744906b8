"""Hook implementations of the embedded room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_generators() -> Iterator[Component]:
    """Rule-based offline generators, for the quick start and for tests."""
    yield Component(
        "embedded",
        load="kormo_plugins.embedded.generate:generate",
        summary="bilingual texts in ten genres, written by rules, offline; the same bytes for the same seed",
        params="kormo_plugins.embedded.params:EmbeddedParams",
    )
    yield Component(
        "embedded_preferences",
        load="kormo_plugins.embedded.conversations.preferences:generate",
        summary="bilingual preference pairs, written by rules, offline: a right, short answer and one with a fault",
        params="kormo_plugins.embedded.conversations.preferences:PreferenceParams",
    )
    yield Component(
        "embedded_chat",
        load="kormo_plugins.embedded.conversations.chat:generate",
        summary="Korean and English conversations with short answers, written by rules, with and without reasoning",
        params="kormo_plugins.embedded.conversations.chat_params:EmbeddedChatParams",
    )
    yield Component(
        "embedded_books",
        load="kormo_plugins.embedded.books:generate",
        summary="long documents of one world each, chapter after chapter, for long contexts",
        params="kormo_plugins.embedded.params:BooksParams",
    )
