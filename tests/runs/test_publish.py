"""Publishing and fetching, against a hub on the loopback interface."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.errors import KormoError
from kormo_plugins.runs.publishing import revisions
from kormo_plugins.runs.publishing.publish import amount, publish, revision_name
from kormo_plugins.runs.publishing.publish_data import publish_documents
from kormo_plugins.runs.publishing.publish_plan import OTHER, publish_plan
from kormo_plugins.store.artifact import Spec, build
from kormo_plugins.store.fingerprint import file_checksum
from kormo_plugins.store.json_file import sealed
from kormo_plugins.store.sums import SUMS, parse_sums, sha256_of
from kormo_plugins.training.checkpoints.complete import mark_complete, mark_records
from kormo_plugins.training.telemetry.left_behind import changed_card
from kormo_plugins.training.telemetry.run_record import write_record
from tests.damages import cut, flip, swap
from tests.fake_hub import Hub, serving

SECRET = "hf_notarealtoken"
MODEL = {"config.json": "{}", "model.safetensors": "w", "tokenizer.json": "{}", "tokenizer_config.json": "{}"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def api(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> object:
    """A client of it; the suite is offline otherwise."""
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return HfApi(endpoint=hub.url, token=SECRET)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with an export, two whole checkpoints, and one that is not."""
    run = tmp_path / "small"
    for folder in (run, run / "export", *(run / f"checkpoint-{step}" for step in (10, 20, 30))):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in MODEL.items():
            (folder / name).write_text(content)
    for step in (10, 20, 30):
        for name in ("optimizer.pt", "rng_state.pth", "training_args.bin", "trainer_state.json"):
            (run / f"checkpoint-{step}" / name).touch()
    mark_complete(run / "checkpoint-10", 10)
    mark_complete(run / "checkpoint-20", 20)
    card = "---\nlanguage: [en, ko]\n---\n# small\n"
    for folder in (run, run / "export"):
        (folder / "README.md").write_text(card)
    reader = {"name": "hub", "dataset": "KORMo-Team/sft"}
    recipe = json.dumps({"kormo": {"data": {"sources": {"a": {"reader": reader}}}}})
    (run / "recipe.yml").write_text(recipe)
    sha256 = sha256_of(recipe.encode())
    write_record(run, {"global_batch": 8, "sequence_len": 512, "recipe_sha256": sha256})
    scored = {"results": [{"task": "kobest_boolq", "metric": "acc", "value": 0.5}]}
    (run / "evaluation.json").write_text(json.dumps(sealed(scored)))
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    mark_complete(run, 30, set(MODEL))
    mark_records(run, ["metrics.jsonl", "README.md"])
    sums = {name: file_checksum(run / "export" / name) for name in MODEL}
    record = {"files": {name: sums.pop(name) for name in ("config.json", "model.safetensors")}, "beside": sums}
    (run / "export" / "kormo_export.json").write_text(json.dumps(record))
    return run


def test_main_is_the_plain_model_and_checkpoints_are_revisions(run: Path, hub: Hub, api: object) -> None:
    sent = publish(run, "lab/small", api, licence="apache-2.0")  # type: ignore[arg-type]
    held = hub.repositories["lab/small"]
    assert list(sent) == list(held) == ["main", "kormo", "step-10-tokens-41K", "step-20-tokens-81.9K"]
    assert set(held["main"]) == {*MODEL, "README.md", "kormo_export.json", SUMS}
    listed = parse_sums(held["main"][SUMS], SUMS)
    assert listed == {name: sha256_of(data) for name, data in held["main"].items() if name != SUMS}
    assert {"recipe.yml", "run.json", "evaluation.json", "complete.json"} <= set(held["kormo"])
    for files in held.values():
        assert not [name for name in files if name.endswith((".pt", ".pth", ".bin"))]
        assert SECRET.encode() not in b"".join(files.values())
    card = held["main"]["README.md"].decode()
    assert "license: apache-2.0" in card and "KORMo-Team/sft" in card and "kobest_boolq" in card and "# small" in card
    publish(run, "lab/small", api, licence="apache-2.0")  # type: ignore[arg-type] # branches are there already
    assert card == hub.repositories["lab/small"]["main"]["README.md"].decode()


def test_the_run_stays_as_it_is(run: Path, hub: Hub, api: object) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    sent = publish(run, "lab/small", api, licence="mit")  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    held = hub.repositories["lab/small"]
    assert sent == {name: sha256_of(files[SUMS]) for name, files in held.items()}
    assert not changed_card(run)


@pytest.mark.parametrize(
    "name",
    ["metrics.jsonl", "run.json", "recipe.yml", "evaluation.json", "complete.json", "model.safetensors",
     "tokenizer.json", "export/model.safetensors", "export/tokenizer.json", "export/config.json"],
)  # fmt: skip
@pytest.mark.parametrize("damage", [flip, cut, swap], ids=lambda damage: damage.__name__)
def test_nothing_damaged_is_sent(run: Path, hub: Hub, api: object, name: str, damage: Callable[[Path], None]) -> None:
    damage(run / name)
    with pytest.raises(KormoError) as error:
        publish(run, "lab/small", api)  # type: ignore[arg-type]
    assert Path(name).name in error.value.render() and not hub.requests


def test_a_card_that_was_edited_is_sent_and_told(run: Path, hub: Hub) -> None:
    (run / "README.md").write_text("# mine\n")
    told = CliRunner().invoke(cli, ["publish", str(run), "lab/small", "--dry-run"])
    assert told.exit_code == 0 and "README.md was changed after the run had ended" in told.stderr


def test_a_dry_run_lists_what_would_be_sent(run: Path, hub: Hub, api: object) -> None:
    """Every file with its size and its revision, exactly as they are sent afterwards; the hub is not asked."""
    words = ["publish", str(run), "lab/small", "--license", "mit", "--dry-run"]
    plan = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert not hub.requests and plan["exists"] is None and plan["private"] is True
    publish(run, "lab/small", api, licence="mit")  # type: ignore[arg-type]
    planned = {one["name"]: {file["name"]: file["bytes"] for file in one["files"]} for one in plan["revisions"]}
    held = hub.repositories["lab/small"]
    assert planned == {name: {file: len(data) for file, data in files.items()} for name, files in held.items()}
    assert [one["bytes"] for one in plan["revisions"]] == [sum(map(len, files.values())) for files in held.values()]
    told = CliRunner().invoke(cli, words).stdout
    for name, files in planned.items():
        assert all(re.search(rf"^{name} +{file} +{size:,}$", told, re.M) for file, size in files.items())
    assert f"{sum(map(len, planned.values()))} files" in told and "does not contact the hub" in told
    assert "would go to lab/small" in told and "created as a private repository" in told
    assert "a public repository" in CliRunner().invoke(cli, [*words, "--public"]).stdout


def test_a_dry_run_says_what_is_held_back_and_why(run: Path) -> None:
    (run / "report.html").write_text("page")
    (run / "checkpoint-10" / "global_step10").mkdir()
    (run / "checkpoint-10" / "global_step10" / "part.pt").write_text("12345")
    plan = publish_plan(run, "lab/small")
    why = {one.path: one.why for one in plan.held_back}
    assert why["report.html"] == OTHER
    assert "resume" in why["checkpoint-10/optimizer.pt"] and "resume" in why["checkpoint-20/rng_state.pth"]
    assert "pickle" in why["checkpoint-20/training_args.bin"]
    assert "not a complete checkpoint" in why["checkpoint-30/"] and not any(
        k.startswith("checkpoint-30/o") for k in why
    )
    assert [one.bytes for one in plan.held_back if one.path == "checkpoint-10/global_step10/"] == [5]
    sent = {(one.folder / file.name) for one in plan.revisions for file in one.files}
    told = [run / one.path for one in plan.held_back]
    for path in (path for path in run.rglob("*") if path.is_file()):  # each file is told once, on one side
        assert (path in sent) != any(path == one or one in path.parents for one in told), path
    text = CliRunner().invoke(cli, ["publish", str(run), "lab/small", "--dry-run"]).stdout
    assert all(path in text and reason in text for path, reason in why.items())


def test_a_dry_run_refuses_what_publishing_refuses(run: Path) -> None:
    told = CliRunner().invoke(cli, ["publish", str(run), "small", "--dry-run"])
    assert told.exit_code == 2 and "owner/name" in told.stderr
    flip(run / "export" / "model.safetensors")
    told = CliRunner().invoke(cli, ["publish", str(run), "lab/small", "--dry-run"])
    assert told.exit_code == 2 and "model.safetensors" in told.stderr and not told.stdout


def test_nothing_is_sent_before_the_end(run: Path, hub: Hub, api: object) -> None:
    (run / "complete.json").unlink()
    with pytest.raises(KormoError, match="no finished run"):
        publish(run, "lab/small", api)  # type: ignore[arg-type]
    assert not hub.requests


def test_a_hub_that_refuses_is_told_without_the_token(run: Path, hub: Hub, api: object) -> None:
    hub.refuse = True
    with pytest.raises(KormoError, match="nothing, of 4 revisions") as error:
        publish(run, "lab/small", api)  # type: ignore[arg-type]
    assert SECRET not in error.value.render() and "kormo publish" in error.value.do
    with pytest.raises(KormoError, match="owner/name"):
        publish(run, "small", api)  # type: ignore[arg-type]


def test_a_hub_that_is_not_there_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    nobody = HfApi(endpoint="http://127.0.0.1:9", token=SECRET)
    with pytest.raises(KormoError, match="nothing, of 4 revisions"):
        publish(run, "lab/small", nobody)
    with pytest.raises(KormoError, match="could not list the revisions"):
        revisions.of_model("lab/small", api=nobody)


def test_what_was_published_is_walked_over(run: Path, hub: Hub, api: object, tmp_path: Path) -> None:
    publish(run, "lab/small", api)  # type: ignore[arg-type]
    found = revisions.of_model("lab/small", api=api)  # type: ignore[arg-type]
    assert [(point.step, point.tokens) for point in found] == [(10, 41_000), (20, 81_900)]
    out, identity = tmp_path / "dynamics", sha256_of(hub.repositories["lab/small"][found[-1].name][SUMS])
    for _ in range(2):  # once more: what is there is taken
        fetched = revisions.fetch("lab/small", found[-1], out, api, identity)  # type: ignore[arg-type]
        assert fetched.sha256 == identity and (fetched.folder / "model.safetensors").read_text() == "w"
    assert {path.name for path in out.iterdir()} == {found[-1].name}


@pytest.mark.parametrize("case", ["other", "missing", "added", "forged", "unlisted", "outside"])
def test_what_a_stranger_changed_is_not_used(run: Path, hub: Hub, api: object, tmp_path: Path, case: str) -> None:
    publish(run, "lab/small", api)  # type: ignore[arg-type]
    point = revisions.of_model("lab/small", api=api)[0]  # type: ignore[arg-type]
    held, identity = hub.repositories["lab/small"][point.name], None
    if case == "other":
        held["model.safetensors"] = b"x"
    elif case == "missing":
        del held["config.json"]
    elif case == "added":
        held["generation_config.json"] = b"{}"
    elif case == "forged":  # files and list agree, but it is not the author's
        identity = sha256_of(held[SUMS])
        held["model.safetensors"] = b"x"
        del held[SUMS]
        held[SUMS] = "".join(f"{sha256_of(data)}  {name}\n" for name, data in held.items()).encode()
    elif case == "unlisted":
        identity = sha256_of(held.pop(SUMS))
    else:
        held["../../escaped.json"] = b"{}"
    out = tmp_path / "dynamics"
    with pytest.raises(KormoError):
        revisions.fetch("lab/small", point, out, api, identity)  # type: ignore[arg-type]
    assert not (out / point.name).exists() and not list(tmp_path.rglob("escaped.json"))


def test_a_revision_without_a_list_is_fetched_and_told(run: Path, hub: Hub, api: object, tmp_path: Path) -> None:
    publish(run, "lab/small", api)  # type: ignore[arg-type]
    point = revisions.of_model("lab/small", api=api)[0]  # type: ignore[arg-type]
    del hub.repositories["lab/small"][point.name][SUMS]
    assert revisions.fetch("lab/small", point, tmp_path, api).sha256 is None  # type: ignore[arg-type]
    for words in (["step-10=zz"], ["step-10=" + "0" * 64, "--sha256", "step-10=" + "1" * 64]):
        refused = CliRunner().invoke(cli, ["checkpoint", "fetch", "lab/small", "--out", "x", "--sha256", *words])
        assert refused.exit_code == 2 and "--sha256" in refused.stderr


@pytest.mark.parametrize(
    ("name", "step", "tokens"),
    [
        ("step-1000-tokens-4.2B", 1000, 4_200_000_000), ("step1000-tokens4B", 1000, 4_000_000_000),
        ("stage1-step-928646-tokens3896B", 928646, 3_896_000_000_000), ("step-1000", 1000, 2_000_000),
        ("step_7", 7, 14_000), ("main", None, None), ("kormo", None, None), ("footstep-9", None, None),
    ],
)  # fmt: skip
def test_names_of_revisions(name: str, step: int | None, tokens: int | None) -> None:
    found = revisions.points([name], tokens_per_step=2_000)
    assert [(point.step, point.tokens) for point in found] == ([] if step is None else [(step, tokens)])


@pytest.mark.parametrize("every", [1, 7, 10, 25, 1000])
def test_one_for_each_interval_and_the_last(every: int) -> None:
    walk = revisions.points([f"step-{step}" for step in range(5, 105, 5)], tokens_per_step=1)
    chosen = [point.tokens for point in revisions.spaced(walk, every)]
    assert chosen[-1] == 100 and len(set(chosen)) == len(chosen)
    for start in range(every, 101, every):
        assert any(value is not None and start <= value < start + max(every, 5) for value in chosen)


def test_tokens_that_nobody_told_are_asked_for() -> None:
    with pytest.raises(KormoError, match="--tokens-per-step"):
        revisions.spaced(revisions.points(["step-1"]), 10)
    for text in ("", "B", "50X", "0"):
        with pytest.raises(KormoError, match="number of tokens"):
            revisions.amount(text)
    assert [amount(n) for n in (999, 655_360, 4_200_000_000, 1_000_000_000_000)] == ["999", "655K", "4.2B", "1T"]
    assert revision_name(5, 0) == "step-5"


def test_documents_go_with_their_card(tmp_path: Path, hub: Hub, api: object) -> None:
    corpora = {}
    for name in ("web", "books"):

        def make(out: Path, name: str = name) -> dict[str, int]:
            for file in ("part-00000.jsonl.zst", "rejects.jsonl"):
                (out / file).write_text(name)
            return {}

        corpora[name] = build(tmp_path, Spec("corpus", name, {}), make).path
        (corpora[name] / "part-00007.jsonl.zst").write_text("of nobody")
    assert publish_documents("lab/text", "# text\n", corpora, api) == 2  # type: ignore[arg-type]
    held = {"web/part-00000.jsonl.zst": b"web", "books/part-00000.jsonl.zst": b"books", "README.md": b"# text\n"}
    found = hub.repositories["lab/text"]["main"]
    assert parse_sums(found.pop(SUMS), SUMS) == {name: sha256_of(data) for name, data in held.items()}
    assert found == held
    assert all("/datasets/" in request for request in hub.requests if "/commit/" in request)
    hub.refuse = True
    with pytest.raises(KormoError, match="not all documents"):
        publish_documents("lab/other", "", corpora, api)  # type: ignore[arg-type]
    hub.refuse = False
    flip(corpora["web"] / "part-00000.jsonl.zst")
    with pytest.raises(KormoError, match="part-00000"):
        publish_documents("lab/other", "", corpora, api)  # type: ignore[arg-type]
    assert "lab/other" not in hub.repositories
