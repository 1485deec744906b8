"""datatrove's filters as steps: `{name: datatrove, filter: gopher_quality_filter.GopherQualityFilter}`.

This lets a recipe reproduce another project's filtering beside our own steps.
"""

from __future__ import annotations

import importlib
import pkgutil

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError, closest, in_words

PACKAGE = "datatrove.pipeline.filters"


class TroveParams(Strict):
    """The filter and its arguments."""

    filter: str = Field(
        description="module and class of the filter, relative to datatrove.pipeline.filters", pattern=r"^\w+\.[A-Z]\w*$"
    )
    arguments: dict[str, object] = Field(default_factory=dict, description="arguments of the filter's constructor")


class Trove:
    """Applies a datatrove filter to each document."""

    VERSION = 1

    def __init__(self, params: TroveParams) -> None:
        from datatrove.pipeline.filters.base_filter import BaseFilter

        module, _, name = params.filter.partition(".")
        try:
            made = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)(**params.arguments)
        except (ImportError, AttributeError, TypeError) as error:
            package = importlib.import_module(PACKAGE)
            modules = [info.name for info in pkgutil.iter_modules(package.__path__)]
            raise KormoError(
                where="step datatrove: filter",
                found=params.filter,
                why=f"datatrove has no such filter: {in_words(error)}",
                do=closest(module, modules) or f"its modules are {', '.join(modules)}",
            ) from None
        if not isinstance(made, BaseFilter):
            raise KormoError(
                where="step datatrove: filter",
                found=params.filter,
                why="it is not a filter class",
                do="name a class of datatrove.pipeline.filters that derives from BaseFilter",
            )
        self.filter, self.name = made, name

    def __call__(self, document: Document) -> Document | Reject:
        from datatrove.data import Document as TroveDocument

        item = TroveDocument(text=document.text, id=document.id, metadata=dict(document.meta))
        try:
            result = self.filter.filter(item)
        except ImportError as error:  # datatrove loads its word tokenizers on first use
            raise KormoError(
                where="step datatrove: filter",
                found=self.name,
                why=in_words(error),
                do="install the package that the filter requires",
            ) from None
        keep, reason = result if isinstance(result, tuple) else (result, None)
        return document if keep else Reject(str(reason or self.name))
