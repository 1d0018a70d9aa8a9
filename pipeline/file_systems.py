"""What it takes to read and write at a URL (``gs://…``, ``s3://…``), and why it cannot be done, for people."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from capybeam.pipeline.schemes import unknown_scheme


class _Needs(NamedTuple):
    module: str  # without it Beam's file system is registered, but fails
    extra: str


_NEEDS: Final = {
    "gs": _Needs("google.cloud.storage", "capybeam[gcp]"),
    "s3": _Needs("boto3", "apache-beam[aws]"),
    "azfs": _Needs("azure.storage.blob", "apache-beam[azure]"),
    "hdfs": _Needs("hdfs", "apache-beam[hadoop]"),
}


def unavailable_reason(url: str) -> str | None:
    """Why nothing can be read or written there, where that is certain without asking the file system.

    Which would try for long.
    """
    from apache_beam.io.filesystems import FileSystems  # which takes two seconds to import

    scheme = FileSystems.get_scheme(url)
    if scheme is None:
        return None
    needs = _NEEDS.get(scheme)
    if needs and not _is_installed(needs.module):
        return f"{scheme}:// needs pip install '{needs.extra}'"
    try:
        FileSystems.get_filesystem(url)
    except ValueError as error:  # of a scheme that is known: an option is missing
        return str(error) if needs else unknown_scheme(f"{scheme}://")
    except Exception:  # the error of a later use says more
        return None
    if scheme == "gs" and not os.environ.get("STORAGE_EMULATOR_HOST") and not _has_google_credentials():
        return "no Google Cloud credentials on this machine; run gcloud auth application-default login"
    return None


def reason_of(error: BaseException) -> str:
    """Why a file cannot be read, in a few words, without the error's own text."""
    while True:
        details = getattr(error, "exception_details", None)  # Beam's, by path
        causes = [cause for cause in details.values() if cause] if isinstance(details, dict) else []
        cause = causes[0] if causes else error.__cause__
        if not isinstance(cause, BaseException):
            return getattr(error, "strerror", None) or type(error).__name__
        error = cause


def _is_installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _has_google_credentials() -> bool:
    """Asks once; Beam asks five times, and then continues without credentials."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    ask: Callable[..., Any] = Request()

    def ask_briefly(*args: Any, **kwargs: Any) -> Any:
        """On Google's machines the metadata server answers at once; elsewhere its address may never answer."""
        return ask(*args, **{**kwargs, "timeout": 1})

    try:
        google.auth.default(request=ask_briefly)
    except GoogleAuthError:
        return False
    return True
