"""Makes an entry of the cache of Axolotl's keys: in this process if Axolotl is already imported, or in a child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, disk_error_in
from kormo_plugins.plugins.lookup import allowed
from kormo_plugins.recipe.schema.axolotl_model import MODEL_MODULE, build
from kormo_plugins.training.compat import versions


def made(plugins: list[str]) -> dict[str, Any]:
    """What `axolotl_model.build` gives for these plugins.

    Raises:
        KormoError: a plugin or Axolotl's model cannot be imported.
    """
    return build(plugins) if MODEL_MODULE in sys.modules else _build_apart(plugins)


def _build_apart(plugins: list[str]) -> dict[str, Any]:
    """Runs `build` in a child process, which keeps torch out of this process and import messages off its stdout."""
    with tempfile.TemporaryDirectory(prefix="kormo-") as folder:
        out = Path(folder) / "schema.json"
        paths = [path for path in sys.path if path]
        if any(allowed(plugin.rpartition(".")[0]) for plugin in plugins):
            paths.append(str(Path.cwd()))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        child = subprocess.run(
            [sys.executable, "-P", "-m", "kormo_plugins.recipe.schema.axolotl_model", str(out), *plugins],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        whole = child.returncode == 0 and out.exists()  # not truncated by a full disk
        content = json.loads(out.read_text(encoding="utf-8")) if whole else None
    if content is None:
        last = (child.stderr.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        if disk := disk_error_in(RuntimeError(last), where=Path(folder)):
            raise disk
        raise KormoError(
            where="the installed Axolotl",
            found=last,
            why="its configuration model could not be imported",
            do=f"try `{sys.executable} -c 'import {MODEL_MODULE}'`, or reinstall it: {versions.install_line()}",
        )
    if "error" in content:
        where, found, why, do = content["error"]
        raise KormoError(where=where, found=found, why=why, do=do)
    return dict(content)
