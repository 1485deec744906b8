"""`kormo checkpoint list` on folders in every state."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.training.checkpoints.complete import entries, file_names, mark_complete, write_marker


def test_the_list_says_which_are_whole_and_who_wrote_them(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        folder = tmp_path / f"checkpoint-{step}" / f"global_step{step}"
        folder.mkdir(parents=True)
        for rank in (0, 1):
            (folder / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").write_text("x")
        (folder.parent / "latest").write_text(folder.name)
    two = tmp_path / "checkpoint-2"
    write_marker(two, 2, entries(two, file_names(two)), milestone=True)
    mark_complete(tmp_path / "checkpoint-4", 4)
    (tmp_path / "checkpoint-4" / "latest").write_text("global_step5")  # as long as before: only the hash tells
    done = CliRunner().invoke(cli, ["checkpoint", "list", str(tmp_path), "--hashes", "--json"])
    found = {entry["step"]: entry for entry in json.loads(done.stdout)}
    assert [found[step]["whole"] for step in (2, 4, 6)] == [True, False, False]
    assert found[2]["milestone"] and found[2]["ranks"] == 2 and not found[2]["universal"]
    assert "latest was changed" in found[4]["fault"] and "no complete.json" in found[6]["fault"]
    assert "not whole" in CliRunner().invoke(cli, ["checkpoint", "list", str(tmp_path)]).stdout


def test_a_folder_that_is_not_whole_is_neither_converted_nor_consolidated(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-2").mkdir()
    for words in (["universal"], ["consolidate", str(tmp_path / "out")]):
        arguments = ["checkpoint", words[0], str(tmp_path / "checkpoint-2"), *words[1:]]
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 2 and "no complete.json" in done.stderr, done.output
        assert "Traceback" not in done.stderr
