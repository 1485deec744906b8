"""Hook implementations of the corpus room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl

_FILES = "kormo_plugins.corpus.readers.files"
_STEPS = "kormo_plugins.corpus.steps"


@hookimpl
def kormo_readers() -> Iterator[Component]:
    """The readers."""
    for name, summary in (
        ("jsonl", "JSON Lines, a document a line; plain, .gz, .zst, .xz, .bz2 or in a .zip"),
        ("json", "JSON files: arrays of objects, objects over many lines, or JSON Lines; compressed or not"),
        ("csv", "CSV and TSV tables, a document a row; compressed or not"),
        ("text", "text files, each a document, or each line of them (text_per: line); compressed or not"),
        ("parquet", "Parquet files, a document a row; only the columns that are asked for are read"),
        ("arrow", "Arrow files and streams, folders of datasets.save_to_disk among them"),
        ("folder", "any mixture of all these in a folder"),
    ):
        yield Component(name, load=f"{_FILES}:{name}", summary=summary, params=f"{_FILES}:FilesParams")
    yield Component(
        "warc",
        load="kormo_plugins.corpus.readers.web_archives.warc:warc",
        summary="pages of web archives (WARC) and their texts (WET), local or by a list of URLs",
        params="kormo_plugins.corpus.readers.web_archives.warc:WarcParams",
        source="warcio; ISO 28500",
    )
    yield Component(
        "hub",
        load="kormo_plugins.corpus.readers.hub:hub",
        summary="a dataset of the hub by id, streamed",
        params="kormo_plugins.corpus.readers.hub:HubParams",
        source="datasets",
    )


@hookimpl
def kormo_corpus_steps() -> Iterator[Component]:
    """The corpus steps."""
    for name, target, summary, source in _ALL_STEPS:
        yield Component(
            name, load=f"{_STEPS}.{target}", summary=summary, params=f"{_STEPS}.{target}Params", source=source
        )


_ALL_STEPS = (
    (
        "normalize",
        "characters.normalize:Normalize",
        "one Unicode form, line end and space; invisible characters go",
        "UAX 15",
    ),
    (
        "mojibake",
        "characters.mojibake:Mojibake",
        "repairs wrongly decoded text, drops what cannot be repaired",
        "KS X 1001",
    ),
    ("extract", "web.extract:Extract", "the main text of web pages, by resiliparse or trafilatura", "DCLM; FineWeb"),
    ("robots_txt", "web.robots_txt:RobotsTxt", "drops pages that robots.txt forbids to crawlers of models", "RFC 9309"),
    ("html", "web.html:Html", "removes tags, entities and scripts outside of code", ""),
    ("errors", "web.errors:Errors", "removes error messages and boilerplate lines", "KORMo 4.1.3; patterns ours"),
    ("length", "heuristics.length:Length", "drops what is too short or too long", "CulturaX, arXiv 2309.09400"),
    ("language", "languages.language:Language", "labels each document with its language and keeps those asked for", ""),
    (
        "repetition",
        "heuristics.repetition:Repetition",
        "drops documents that repeat themselves",
        "Gopher, arXiv 2112.11446",
    ),
    ("korean", "heuristics.korean:Korean", "drops lists, menus, word salad: particles, endings, word order", ""),
    (
        "personal_data",
        "personal.personal_data:PersonalData",
        "masks Korean resident numbers, phones, addresses, accounts",
        "",
    ),
    ("exact_dedup", "duplicates.exact_dedup:ExactDedup", "drops documents that came before, word for word", ""),
    (
        "minhash_dedup",
        "duplicates.minhash:MinhashDedup",
        "drops documents near to one before",
        "Broder 1997; FineWeb, 2406.17557",
    ),
    (
        "classifier",
        "models.classifier:Classifier",
        "a fastText quality classifier, trained or applied",
        "DCLM, arXiv 2406.11794",
    ),
    ("educational", "models.educational:Educational", "how much a text teaches, by a classifier", "2406.17557"),
    ("toxicity", "models.toxicity:Toxicity", "drops toxic text, by words and by a classifier", "C4, 1910.10683"),
    ("perplexity", "models.perplexity:Perplexity", "KenLM's perplexity, one model a language", "CCNet, 1911.00359"),
    (
        "keep_top",
        "selection.keep_top:KeepTop",
        "the best share of a source by a score of an earlier step",
        "CCNet, 1911.00359",
    ),
    ("template_lines", "web.template_lines:TemplateLines", "removes menus and lines of site templates", "2306.01116"),
    ("per_domain", "per_domain:PerDomain", "a step with other parameters, or none, for some domains", "ours"),
    (
        "decontaminate",
        "duplicates.decontaminate:Decontaminate",
        "drops documents that hold an evaluation item",
        "GPT-3, 2005.14165",
    ),
    (
        "two_step",
        "selection.two_step:TwoStep",
        "drops degraded translations and reasoning",
        "KORMo algorithm 1; rules ours",
    ),
    ("wrap_think", "wrap_think:WrapThink", "puts <think> marks around reasoning", "KORMo; arXiv 2510.09426"),
    (
        "balanced_sample",
        "selection.balanced_sample:BalancedSample",
        "a sample balanced by language and difficulty",
        "ours",
    ),
    ("datatrove", "heuristics.trove:Trove", "any filter of datatrove", "datatrove"),
)


@hookimpl
def kormo_generators() -> Iterator[Component]:
    """The generators of synthetic documents."""
    yield Component(
        "openai_endpoint",
        load="kormo_plugins.corpus.synthesis.generate:endpoint",
        summary="Korean texts from seed documents, by a model behind an OpenAI-compatible endpoint",
        params="kormo_plugins.corpus.synthesis.generate:EndpointParams",
        source="KORMo 4.2; prompts ours",
    )
