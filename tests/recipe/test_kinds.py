"""A command that is given a file of another kind says which it is, in one fault, with the command that takes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.kinds import ABLATION, CHAIN, DATA, KINDS, LADDER, RECIPE, Kind, read_kind, refuse_other

RECIPES = Path(__file__).parents[2] / "recipes"
ONE_OF_EACH = {
    RECIPE: RECIPES / "pretrain.yml",
    CHAIN: RECIPES / "chains" / "nano.yml",
    ABLATION: RECIPES / "ablations" / "packing.yml",
    LADDER: RECIPES / "ladders" / "nano.yml",
    DATA: RECIPES.parent / "datasets_recipes" / "local.yml",
}


@pytest.mark.parametrize("wanted", KINDS, ids=lambda kind: kind.command)
@pytest.mark.parametrize("given", KINDS, ids=lambda kind: kind.command)
def test_only_a_file_of_the_kind_is_read(wanted: Kind, given: Kind) -> None:
    path = ONE_OF_EACH[given]
    if wanted is given:
        assert read_kind(path, wanted)
        return
    with pytest.raises(KormoError) as error:
        read_kind(path, wanted)
    assert error.value.found.startswith(given.spoken) and error.value.do == f"{given.command} {path}"


def test_the_commands_say_so(tmp_path: Path) -> None:
    from kormo_plugins.experiments.ablation.spec import read_spec
    from kormo_plugins.experiments.chain.spec import load_chain
    from kormo_plugins.experiments.ladder.spec import read_spec as read_ladder
    from kormo_plugins.recipe.files.resolve import resolve

    for read, wanted in ((read_spec, ABLATION), (load_chain, CHAIN), (read_ladder, LADDER), (resolve, RECIPE)):
        other = LADDER if wanted is CHAIN else CHAIN
        with pytest.raises(KormoError, match=other.command):
            read(ONE_OF_EACH[other])


def test_what_is_of_no_kind_is_left_to_the_faults_of_its_keys() -> None:
    refuse_other({"learning_rate": 1}, Path("x.yml"), CHAIN)
