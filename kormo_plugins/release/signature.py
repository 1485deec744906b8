"""Signatures of a release: who says that this list of hashes is theirs.

    SHA256SUMS.sig              by an SSH key (`kormo release --sign KEY`); it needs no network and no service
    SHA256SUMS.sigstore.json    by an identity, with sigstore's own program: `sigstore sign --bundle … SHA256SUMS`

Both sign the list, and the list has the hash of everything else. The first names its key, so that damage to it is found
by whoever knows no key; that the key is its author's only they can say who know it (`--signed-by`).
"""

from __future__ import annotations

import base64
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.store.sums import BUNDLE, SIGNATURE, SUMS, Finding

NAMESPACE = "kormo-release"
"""What the key signs for; a signature of the same key for another purpose is none of a release."""

BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
WIDTH = 70
ANYONE = "author"
"""The name under which the one key that is asked for is listed to ssh-keygen."""


def sign(folder: Path, key: Path) -> None:
    """Signs a release with an SSH key: a file, or the public half of one that an agent or a token holds.

    Raises:
        KormoError: no such key, a wrong passphrase, or OpenSSH is not installed.
    """
    (folder / SIGNATURE).unlink(missing_ok=True)  # it would ask whether to replace one
    done = _ssh_keygen("sign", ["-f", str(key), str(folder / SUMS)], b"")
    if done.returncode or not (folder / SIGNATURE).is_file():
        raise KormoError(
            where="kormo release --sign",
            found=f"{key}: {_told(done)}",
            why="ssh-keygen made no signature with it; the release itself is written",
            do=f"ssh-keygen -Y sign -n {NAMESPACE} -f KEY {folder / SUMS} signs it with another key",
        )


def ssh_fault(folder: Path, signed_by: Path | None) -> Iterator[Finding]:
    """What is wrong with the SSH signature of a release.

    Args:
        signed_by: the author's public key (a `.pub` file), as they published it elsewhere; None asks only whether the
            signature is one of this list, by whatever key.
    """
    path = folder / SIGNATURE
    if not path.is_file():
        if signed_by is not None:
            yield Finding(SIGNATURE, "missing: nobody signed this release with an SSH key")
        return
    if not _canonical(path.read_bytes()):
        yield Finding(SIGNATURE, "it is no signature as ssh-keygen writes it")
        return
    listed = (folder / SUMS).read_bytes()
    if signed_by is None:
        done = _ssh_keygen("check-novalidate", ["-s", str(path)], listed)
    else:
        with tempfile.TemporaryDirectory() as made:
            allowed = Path(made, "allowed_signers")
            allowed.write_text(f"{ANYONE} {_public_key(signed_by)}\n", encoding="utf-8")
            done = _ssh_keygen("verify", ["-f", str(allowed), "-I", ANYONE, "-s", str(path)], listed)
    if done.returncode:
        yield Finding(SIGNATURE, f"it is no signature of this {SUMS}{f' by {signed_by}' if signed_by else ''}")


def sigstore_fault(folder: Path, identity: str, issuer: str | None) -> Iterator[Finding]:
    """What is wrong with the sigstore bundle of a release; asks no service, since the bundle holds the log's proof.

    Args:
        identity: e-mail address or workflow that signed.
        issuer: who vouches for it, such as `https://accounts.google.com`; None: anybody.
    Raises:
        KormoError: sigstore is not installed.
    """
    path = folder / BUNDLE
    if not path.is_file():
        yield Finding(BUNDLE, "missing: nobody signed this release with sigstore")
        return
    try:
        from sigstore.errors import Error
        from sigstore.models import Bundle, InvalidBundle
        from sigstore.verify import Verifier
        from sigstore.verify.policy import Identity
    except ImportError:
        raise KormoError(
            where="kormo reproduce --signer",
            found="sigstore is not installed",
            why="it checks the certificate and the log's proof in the bundle",
            do="pip install sigstore",
        ) from None
    try:
        bundle = Bundle.from_json(path.read_bytes())
        policy = Identity(identity=identity, issuer=issuer)
        Verifier.production(offline=True).verify_artifact((folder / SUMS).read_bytes(), bundle, policy)
    except (Error, InvalidBundle, ValueError) as error:
        yield Finding(BUNDLE, " ".join(str(error).split())[:200])


def _canonical(content: bytes) -> bool:
    """Whether an armored signature has the one form in which it is written: no byte of it could be another."""
    lines = content.decode("ascii", errors="replace").splitlines()
    if len(lines) < 3 or (lines[0], lines[-1]) != (BEGIN, END):
        return False
    try:
        body = base64.b64encode(base64.b64decode("".join(lines[1:-1]), validate=True)).decode()
    except ValueError:
        return False
    wrapped = [body[start : start + WIDTH] for start in range(0, len(body), WIDTH)]
    return content == "\n".join([BEGIN, *wrapped, END, ""]).encode()


def _public_key(path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        key, told = "", in_words(error)
    else:
        told = "no public key of SSH"
    if "\n" in key or not key.startswith(("ssh-", "ecdsa-", "sk-")):
        raise KormoError(
            where="kormo reproduce --signed-by",
            found=f"{path}: {told}",
            why="a signature is compared with the public key of its author",
            do="name the .pub file that they published",
        )
    return key


def _ssh_keygen(action: str, words: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", "-Y", action, "-n", NAMESPACE, *words]
    try:
        return subprocess.run(command, input=data, capture_output=True, check=False)
    except FileNotFoundError:
        raise KormoError(
            where="ssh-keygen",
            found="no such program",
            why="it makes and checks the signatures of releases",
            do="install OpenSSH's client",
        ) from None


def _told(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last line that the program wrote."""
    lines = (done.stderr or done.stdout).decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"status {done.returncode}")
