"""The packing policy of a source. Imports no kernel: a plan that is there is found by its policy."""

from __future__ import annotations

from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import Params
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.plugins.registry import Registry


def packing_of(recipe: MixtureRecipe, plugins: Registry, source: str, *, conversations: bool) -> tuple[str, Params]:
    """The policy and parameters with which a source is packed.

    For conversations `too_long` determines how those longer than a row are handled, because later pieces of a cut one
    have an answer without its question.

    Raises:
        KormoError: conversations with a policy that cuts documents at arbitrary row ends.
    """
    packing = dict(recipe.packing)
    policy = str(packing.pop("name"))
    params = plugins.params("packing", policy, packing, "kormo.data.packing")
    if not conversations:
        return policy, params
    if not hasattr(params, "longer"):
        raise KormoError(
            where="kormo.data.packing",
            found=f"{policy} for the conversations of {source}",
            why="this policy cuts documents at row ends, so answers would be trained without their questions",
            do="use {name: best_fit}",
        )
    return policy, params.model_copy(update={"longer": "drop" if recipe.too_long == "reject" else "cut"})
