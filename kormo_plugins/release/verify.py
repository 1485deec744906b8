"""`kormo reproduce --check`: verifies a release without building anything.

Three checks: every file against its hash; the records against each other (recipe and record, model and its list of
hashes, artifact and its inputs); and the installed environment against the release's. Differences of the last are
reported, but are not a fault of the release.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.release.collect import read_index
from kormo_plugins.release.environment import code_hashes, lock
from kormo_plugins.release.signature import sigstore_fault, ssh_fault
from kormo_plugins.store.artifact import read_manifest
from kormo_plugins.store.complete import fault, record_fault
from kormo_plugins.store.fingerprint import IDENTITY_LENGTH, identity
from kormo_plugins.store.sums import SUMS, Finding, check_sums, sha256
from kormo_plugins.training.telemetry.left_behind import SAMPLES
from kormo_plugins.training.telemetry.run_record import RESOLVED, read_record


@dataclass(frozen=True)
class Author:
    """Known facts about the author of a release, obtained independently of the release.

    Args:
        identity: SHA-256 (hex) of the release's list.
        key: file of an SSH public key that signed it.
        signer: identity (an e-mail address, a workflow) that signed it with sigstore.
        issuer: of that identity; None: any.
    """

    identity: str | None = None
    key: Path | None = None
    signer: str | None = None
    issuer: str | None = None


def check(folder: Path, author: Author = Author()) -> list[Finding]:
    """Verifies a release; returns the faults, empty if there are none.

    Raises:
        KormoError: not a release, or a program or library that checks signatures is not installed.
    """
    findings = list(check_sums(folder))
    if author.identity is not None and sha256(folder / SUMS) != author.identity.lower():
        findings.insert(0, Finding(SUMS, f"its SHA-256 is {sha256(folder / SUMS)}, not {author.identity}"))
    findings.extend(ssh_fault(folder, author.key))
    if author.signer is not None:
        findings.extend(sigstore_fault(folder, author.signer, author.issuer))
    return findings or list(_consistent(folder))


def _consistent(folder: Path) -> Iterator[Finding]:
    """Inconsistencies between the records of a release."""
    for released in read_index(folder):
        run = folder / "runs" / released.name
        text = (run / RESOLVED).read_text(encoding="utf-8")
        if hashlib.sha256(text.encode()).hexdigest() != read_record(run).get("recipe_sha256"):
            yield Finding(f"runs/{released.name}/{RESOLVED}", "is not the recipe that run.json has the hash of")
        for name in (METRICS, SAMPLES):
            if (run / name).is_file() and (record_damage := record_fault(run / name)):
                yield Finding(f"runs/{released.name}/{name}", record_damage)
        for part in (run, *(run / f"checkpoint-{step}" for step in released.checkpoints)):
            reason = fault(part)
            if reason is not None:
                yield Finding(part.relative_to(folder).as_posix(), reason)
    for manifest in sorted((folder / "artifacts").glob("*/manifest.json")):
        yield from _artifact(folder, manifest.parent)


def _artifact(folder: Path, artifact: Path) -> Iterator[Finding]:
    where = artifact.relative_to(folder).as_posix()
    try:
        manifest = read_manifest(artifact)
    except KormoError as error:
        yield Finding(where, error.found)
        return
    parts = {key: manifest[key] for key in ("format", "kind", "inputs")}
    if identity(parts)[:IDENTITY_LENGTH] != manifest["hash"]:
        yield Finding(where, "its inputs do not give its hash")


def differences_here(folder: Path) -> Iterator[Finding]:
    """Differences between this environment and the release's: our modules, and versions of packages."""
    released_code: dict[str, object] = json.loads((folder / "code.json").read_text(encoding="utf-8"))
    ours = code_hashes()
    changed = sorted(name for name in {*released_code, *ours} if released_code.get(name) != ours.get(name))
    if changed:
        yield Finding("kormo_plugins", f"{len(changed)} files are other than the release's, {changed[0]} first")
    locked = dict(line.split("==", 1) for line in (folder / "lock.txt").read_text(encoding="utf-8").splitlines())
    installed = dict(line.split("==", 1) for line in lock())
    for name, version in locked.items():
        if installed.get(name) != version:
            yield Finding(name, f"{version} made the release, {installed.get(name, 'none')} is installed")
