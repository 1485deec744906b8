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
        ("jsonl", "JSON Lines, one document per line; plain, .gz, .zst, .xz, .bz2 or in a .zip"),
        ("json", "JSON files: arrays of objects, objects over several lines, or JSON Lines; compressed or not"),
        ("csv", "CSV and TSV tables, one document per row; compressed or not"),
        ("text", "text files, one document per file or per line (text_per: line); compressed or not"),
        ("parquet", "Parquet files, one document per row; only the mapped columns are read"),
        ("arrow", "Arrow files and streams, including folders of datasets.save_to_disk"),
        ("folder", "a folder with any mixture of these formats"),
    ):
        yield Component(name, load=f"{_FILES}:{name}", summary=summary, params=f"{_FILES}:FilesParams")
    yield Component(
        "warc",
        load="kormo_plugins.corpus.readers.web_archives.warc:warc",
        summary="pages from web archives (WARC) or their extracted texts (WET), local or from a list of URLs",
        params="kormo_plugins.corpus.readers.web_archives.warc:WarcParams",
        source="warcio; ISO 28500",
    )
    yield Component(
        "hub",
        load="kormo_plugins.corpus.readers.hub:hub",
        summary="a dataset on the Hugging Face hub, streamed",
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
        "normalizes Unicode, line ends and spaces; removes invisible characters",
        "UAX 15",
    ),
    (
        "mojibake",
        "characters.mojibake:Mojibake",
        "repairs wrongly decoded text, drops documents that cannot be repaired",
        "KS X 1001",
    ),
    (
        "extract",
        "web.extract:Extract",
        "extracts the main text of web pages, by resiliparse or trafilatura",
        "DCLM; FineWeb",
    ),
    (
        "robots_txt",
        "web.robots_txt:RobotsTxt",
        "drops pages that robots.txt forbids to crawlers for training data",
        "RFC 9309",
    ),
    ("html", "web.html:Html", "removes HTML tags, entities and scripts outside of code", ""),
    ("errors", "web.errors:Errors", "removes error messages and boilerplate lines", "KORMo 4.1.3; patterns ours"),
    (
        "length",
        "heuristics.length:Length",
        "drops documents that are too short or too long",
        "CulturaX, arXiv 2309.09400",
    ),
    (
        "language",
        "languages.language:Language",
        "labels each document with its language and drops unwanted languages",
        "",
    ),
    (
        "repetition",
        "heuristics.repetition:Repetition",
        "drops documents that repeat themselves",
        "Gopher, arXiv 2112.11446",
    ),
    (
        "korean",
        "heuristics.korean:Korean",
        "drops Korean lists, menus and word salad, by particles, endings and word order",
        "",
    ),
    (
        "personal_data",
        "personal.personal_data:PersonalData",
        "masks Korean identity, phone, card and account numbers, and email and IP addresses",
        "",
    ),
    ("exact_dedup", "duplicates.exact_dedup:ExactDedup", "drops exact duplicates of earlier documents", ""),
    (
        "minhash_dedup",
        "duplicates.minhash:MinhashDedup",
        "drops near duplicates, keeping one document per cluster",
        "Broder 1997; FineWeb, 2406.17557",
    ),
    (
        "classifier",
        "models.classifier:Classifier",
        "drops documents with a low score of a fastText-style quality classifier, trained by the recipe or given",
        "DCLM, arXiv 2406.11794",
    ),
    (
        "educational",
        "models.educational:Educational",
        "scores the educational value of documents by a classifier",
        "2406.17557",
    ),
    (
        "toxicity",
        "models.toxicity:Toxicity",
        "drops toxic documents, by word lists and by a classifier",
        "C4, 1910.10683",
    ),
    (
        "perplexity",
        "models.perplexity:Perplexity",
        "scores documents by KenLM perplexity, with one model per language, and drops those outside bounds",
        "CCNet, 1911.00359",
    ),
    (
        "keep_top",
        "selection.keep_top:KeepTop",
        "keeps the best share of a source by the score of an earlier step",
        "CCNet, 1911.00359",
    ),
    ("template_lines", "web.template_lines:TemplateLines", "removes menus and lines of site templates", "2306.01116"),
    (
        "per_domain",
        "per_domain:PerDomain",
        "applies a step with other parameters, or not at all, for some domains",
        "ours",
    ),
    (
        "decontaminate",
        "duplicates.decontaminate:Decontaminate",
        "drops documents that contain an evaluation item",
        "GPT-3, 2005.14165",
    ),
    (
        "two_step",
        "selection.two_step:TwoStep",
        "drops incomplete or inconsistent translations and reasoning",
        "KORMo algorithm 1; rules ours",
    ),
    ("wrap_think", "wrap_think:WrapThink", "puts reasoning between <think> marks", "KORMo; arXiv 2510.09426"),
    (
        "balanced_sample",
        "selection.balanced_sample:BalancedSample",
        "keeps a sample balanced by language and difficulty",
        "ours",
    ),
    ("datatrove", "heuristics.trove:Trove", "applies any filter of datatrove", "datatrove"),
)


@hookimpl
def kormo_generators() -> Iterator[Component]:
    """The generators of synthetic documents."""
    yield Component(
        "openai_endpoint",
        load="kormo_plugins.corpus.synthesis.generate:endpoint",
        summary="Korean texts written from seed documents by a model behind an OpenAI-compatible endpoint",
        params="kormo_plugins.corpus.synthesis.generate:EndpointParams",
        source="KORMo 4.2; prompts ours",
    )
