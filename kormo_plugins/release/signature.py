"""Signatures of the list of hashes of a release.

    SHA256SUMS.sig              by an SSH key (`kormo release --sign KEY`); works offline
    SHA256SUMS.sigstore.json    by an identity, with sigstore's program: `sigstore sign --bundle … SHA256SUMS`

Both sign the list, which has the hashes of all other files. The SSH signature contains its public key, so damage is
found without knowing the key; whether the key is the author's is checked with `--signed-by`.
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
"""Namespace of the signature; signatures of the same key for another purpose are not accepted."""

BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
WIDTH = 70
ANYONE = "author"
"""Principal of the key in the list of allowed signers for ssh-keygen."""


def sign(folder: Path, key: Path) -> None:
    """Signs a release with an SSH key: a private key file, or the public key of one in an agent or token.

    Raises:
        KormoError: no such key, a wrong passphrase, or OpenSSH is not installed.
    """
    (folder / SIGNATURE).unlink(missing_ok=True)  # ssh-keygen would prompt before replacing it
    done = _ssh_keygen("sign", ["-f", str(key), str(folder / SUMS)], b"")
    if done.returncode or not (folder / SIGNATURE).is_file():
        raise KormoError(
            where="kormo release --sign",
            found=f"{key}: {_told(done)}",
            why="ssh-keygen could not sign with this key; the release itself is written",
            do=f"ssh-keygen -Y sign -n {NAMESPACE} -f KEY {folder / SUMS} signs it with another key",
        )


def ssh_fault(folder: Path, signed_by: Path | None) -> Iterator[Finding]:
    """Faults of a release's SSH signature.

    Args:
        signed_by: the author's public key (a `.pub` file), published elsewhere; None: only check that the signature
            is valid for this list, with any key.
    """
    path = folder / SIGNATURE
    if not path.is_file():
        if signed_by is not None:
            yield Finding(SIGNATURE, "missing: nobody signed this release with an SSH key")
        return
    if not _canonical(path.read_bytes()):
        yield Finding(SIGNATURE, "it is not a signature written by ssh-keygen")
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
        yield Finding(SIGNATURE, f"it is not a signature of this {SUMS}{f' by {signed_by}' if signed_by else ''}")


def sigstore_fault(folder: Path, identity: str, issuer: str | None) -> Iterator[Finding]:
    """Faults of a release's sigstore bundle; works offline, since the bundle contains the log's inclusion proof.

    Args:
        identity: of the signer, an e-mail address or workflow.
        issuer: of the identity, such as `https://accounts.google.com`; None: any.
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
    """Whether an armored signature is in canonical form, so that changing any byte is detected."""
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
        key, fault = "", in_words(error)
    else:
        fault = "no public key of SSH"
    if "\n" in key or not key.startswith(("ssh-", "ecdsa-", "sk-")):
        raise KormoError(
            where="kormo reproduce --signed-by",
            found=f"{path}: {fault}",
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
    """The last line of the program's output."""
    lines = (done.stderr or done.stdout).decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"status {done.returncode}")
