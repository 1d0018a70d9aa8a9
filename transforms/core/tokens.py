"""Access tokens, and the secrets of apps, by reference: the reference travels, the worker that needs it reads it.

``env:NAME``, ``file:PATH`` or ``secret:projects/P/secrets/S/versions/V`` (Google Secret Manager).
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Final

REFERENCE: Final = re.compile(r"env:[A-Za-z_]\w*|file:.+|secret:projects/[^/]+/secrets/[^/]+/versions/[^/]+", re.ASCII)

_TOKEN: Final = re.compile(r"EAA[A-Za-z0-9]{20}")  # as all of Meta's begin, wherever one was pasted


def holds_token(text: str) -> bool:
    """Whether what looks like an access token of Meta's is part of a text.

    >>> holds_token("gs://acme/x?access_token=EAABsbCS1iHgBAExampleExample")
    True
    """
    return _TOKEN.search(text) is not None


class TokenError(Exception):
    """A token that cannot be read: says what and what to do, never the token."""


@dataclasses.dataclass(frozen=True)
class TokenReference:
    """Where a token is kept.

    >>> TokenReference("env:META_ACCESS_TOKEN").kind
    'env'
    """

    text: str

    def __post_init__(self) -> None:
        if not REFERENCE.fullmatch(self.text):
            raise ValueError("not a reference to a token")

    @property
    def kind(self) -> str:
        return self.text.partition(":")[0]

    def read(self) -> str:
        """The token itself. Raises TokenError where it is missing, empty or no token."""
        _, _, where = self.text.partition(":")
        token = {"env": _from_environment, "file": _from_file, "secret": _from_secret_manager}[self.kind](where).strip()
        if not token:
            raise TokenError(f"{self.text} is empty.")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise TokenError(f"The value at {self.text} contains spaces or unprintable characters.")
        return token


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise TokenError(f"The environment variable {name} is not set. Set it: export {name}=…")
    return os.environ[name]


def _from_file(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise TokenError(f"The file {path} cannot be read: {reason}.") from None


def _from_secret_manager(name: str) -> str:
    try:
        from google.cloud import secretmanager
    except ImportError:
        raise TokenError("Reading from secret: needs the gcp extra: pip install 'capybeam[gcp]'.") from None
    try:
        answer = secretmanager.SecretManagerServiceClient().access_secret_version(name=name)
        return str(answer.payload.data.decode())
    except Exception as error:  # the client raises a wide family, from credentials to gRPC
        raise TokenError(
            f"The secret {name} cannot be read ({type(error).__name__}). Does it exist, and does this account hold"
            " roles/secretmanager.secretAccessor on it?"
        ) from None
