"""What a document, a source or a licence is called writes no markup and runs no template."""

from __future__ import annotations

import pytest

from kormo_plugins.reporting.markup import markdown

HOSTILE = [
    "# heading", "a\n\n# heading", "a | b", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "[x](javascript:1)",
    "![x](http://h/p.png)", "`code`", "**bold**", "\x1b]52;c;ZWNobw==\x07", "\u202egpj.exe",
    "~~x~~", "a\\| b", "&lt;b&gt;",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_markdown_stays_text(text: str) -> None:
    """Read back by a Markdown parser it is one paragraph of plain text."""
    parser = pytest.importorskip("markdown_it")
    written = markdown(text)
    assert "\n" not in written and written.isprintable()
    parsed = parser.MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").parse(written)
    assert [token.type for token in parsed] == ["paragraph_open", "inline", "paragraph_close"]
    assert all(child.type in ("text", "text_special") for child in parsed[1].children)
    row = parser.MarkdownIt("commonmark").enable("table").parse(f"| a | b |\n|---|---|\n| {written} | 1 |")
    assert sum(token.type == "td_open" for token in row) == 2


HOSTILE_TEMPLATES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ messages.append({'role': 'x', 'content': 'y'}) }}", "{{ self.__init__.__globals__ }}",
]  # fmt: skip


@pytest.mark.parametrize("template", HOSTILE_TEMPLATES)
def test_a_chat_template_of_a_stranger_is_confined(template: str) -> None:
    """Templates are rendered by transformers, in jinja2's sandbox; this fails should it ever leave it."""
    from jinja2.exceptions import SecurityError, UndefinedError
    from transformers.utils.chat_template_utils import render_jinja_template

    with pytest.raises((SecurityError, UndefinedError)):
        render_jinja_template([[{"role": "user", "content": "x"}]], chat_template=template)
