"""A list of archives in S3, read by s3fs from a stand-in on the loopback interface (moto), killed and started again.

    pip install 'moto[server]' s3fs; pytest -n 0 -m soak tests/corpus/test_warc_s3.py

s3fs wants fsspec of its own version.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.store.corpus_files import read_corpus

from .archives import Archive

pytest.importorskip("s3fs", reason="s3fs is not installed")
pytest.importorskip("moto.server", reason="moto[server] is not installed")
pytestmark = pytest.mark.soak
ARCHIVES, PAGES = 6, 40


@pytest.fixture
def store() -> Iterator[tuple[str, list[str]]]:
    """Address of an empty store, and the paths that were asked for."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    inner, asked = DomainDispatcherApplication(create_backend_app), list[str]()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ.get('HTTP_RANGE', '')}".strip())
        return inner(environ, start)

    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def archive(number: int) -> bytes:
    made, draw = Archive(), random.Random(number)
    for page in range(PAGES):  # noise, so that an archive is many blocks long
        noise = draw.randbytes(20_000).hex()
        made.page(f"http://x.kr/{number}/{page}", f"<p>글 {number} {page}이다. {noise}</p>".encode())
    return made.data


def recipe(path: Path, reader: dict[str, Any]) -> Path:
    source = {"license": "unknown", "language": "ko", "reader": {"name": "warc", **reader}}
    data = {"name": "crawl", "sources": {"web": source}, "steps": [{"name": "extract"}, {"name": "exact_dedup"}],
            "mixture": {"name": "weighted", "weights": {"web": 1}}, "packing": {"name": "best_fit"}}  # fmt: skip
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def command(path: Path, workspace: Path) -> list[str]:
    kormo = [sys.executable, "-m", "kormo_plugins.cli.main", "data", "build"]
    return [*kormo, str(path), "--workspace", str(workspace)]


def corpus(workspace: Path) -> Path:
    [folder] = (path for path in workspace.glob("corpus-*") if path.is_dir())
    return folder


def test_what_was_killed_goes_on_with_the_archive_where_it_was(tmp_path: Path, store: tuple[str, list[str]]) -> None:
    import s3fs

    address, asked = store
    storage = {"endpoint_url": address, "key": "x", "secret": "y", "default_block_size": 1 << 18}
    there = s3fs.S3FileSystem(**storage, skip_instance_cache=True)
    there.mkdir("crawl")
    (tmp_path / "here").mkdir()
    for number in range(ARCHIVES):
        data = archive(number)
        there.pipe(f"crawl/{number}.warc.gz", data)
        (tmp_path / "here" / f"{number}.warc.gz").write_bytes(data)
    (tmp_path / "warc.paths").write_text("".join(f"crawl/{number}.warc.gz\n" for number in range(ARCHIVES)))
    listed = {"urls": str(tmp_path / "warc.paths"), "base": "s3://", "storage": storage}
    elsewhere = command(recipe(tmp_path / "s3.yml", listed), tmp_path / "killed")
    asked.clear()
    process = subprocess.Popen(elsewhere)
    while process.poll() is None and not list((tmp_path / "killed").rglob("work/0/0000[2-4].json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it was killed"
    done = len(list((tmp_path / "killed").rglob("work/0/?????.json")))
    before = len(asked)
    subprocess.run(elsewhere, check=True)
    again = {path.split("/")[2].split(".")[0] for line in asked[before:] if (path := line.split()[1]).count("/") == 2}
    assert again == {str(number) for number in range(done, ARCHIVES)}, "an archive that was done was fetched again"
    assert any("bytes=" in line for line in asked), "archives are read in pieces"
    here = command(recipe(tmp_path / "here.yml", {"path": str(tmp_path / "here")}), tmp_path / "straight")
    subprocess.run(here, check=True)
    found, expected = corpus(tmp_path / "killed"), corpus(tmp_path / "straight")
    assert len(list(read_corpus(found))) + len(list(read_corpus(found / "held_out"))) == ARCHIVES * PAGES
    for place in (".", "held_out", "rejects"):
        parts = [sorted((folder / place).glob("part-*")) for folder in (found, expected)]
        assert [path.read_bytes() for path in parts[0]] == [path.read_bytes() for path in parts[1]]
    print(f"\nkilled with {done} of {ARCHIVES} archives done; {before} requests before, {len(asked) - before} after")
