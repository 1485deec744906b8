"""Options that take several values, as in `--text a.jsonl b.jsonl`."""

from __future__ import annotations

import click


class ManyValues(click.Command):
    """A command whose repeatable options take all words up to the next option.

    `--text a b --json` is read as `--text a --text b --json`, so that a shell pattern (`--text *.jsonl`) works.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As in click, after repeating each such option before each of its values."""
        several = {name for one in self.params if isinstance(one, click.Option) and one.multiple for name in one.opts}
        words: list[str] = []
        option = ""
        waiting = False  # for the first value, which click handles
        for word in args:
            if word.startswith("-") and word != "-":
                option, waiting = (word, True) if word in several else ("", False)
                words.append(word)
                continue
            if option and not waiting:
                words.append(option)
            words.append(word)
            waiting = False
        return super().parse_args(ctx, words)
