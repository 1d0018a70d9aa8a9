"""Access tokens by reference: read where they are needed, and never shown."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path

import pytest

from capybeam.transforms.core.tokens import TokenError, TokenReference

TOKEN = "EAABsbCS1iHgBAExampleExampleExample"


def error_of(reference: str) -> str:
    with pytest.raises(TokenError) as caught:
        TokenReference(reference).read()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


# --- what a reference is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("env:META_ACCESS_TOKEN", "env"),
        ("env:_t1", "env"),
        ("file:/run/secrets/meta", "file"),
        ("file:~/meta token.txt", "file"),
        ("secret:projects/acme/secrets/meta/versions/latest", "secret"),
        ("secret:projects/1234/secrets/meta_token/versions/7", "secret"),
    ],
)
def test_a_reference_says_where_a_token_is(text: str, kind: str) -> None:
    reference = TokenReference(text)

    assert (reference.kind, reference.text) == (kind, text)


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        "",
        "env:",
        "env:9LIVES",
        "env:A-B",
        "env:A B",
        "env:NAME\n",
        " env:NAME",
        "ENV:NAME",
        "file:",
        "secret:meta",
        "secret:projects/acme/secrets/meta",
        "secret:projects//secrets/meta/versions/1",
        "secret:projects/acme/secrets/meta/versions/1/extra",
        f"token:{TOKEN}",
        f"Bearer {TOKEN}",
    ],
)
def test_anything_else_is_no_reference_and_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a reference to a token$"):
        TokenReference(text)


def test_what_travels_to_a_worker_is_the_reference_and_never_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", TOKEN)
    reference = TokenReference("env:META_ACCESS_TOKEN")
    assert reference.read() == TOKEN

    travelled = pickle.dumps(reference)

    assert TOKEN.encode() not in travelled
    assert TOKEN not in repr(reference)
    assert pickle.loads(travelled) == reference


# --- env: -------------------------------------------------------------------------------------------------------


def test_a_token_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", f" {TOKEN}\n")

    assert TokenReference("env:META_ACCESS_TOKEN").read() == TOKEN


def test_it_is_read_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = TokenReference("env:META_ACCESS_TOKEN")
    monkeypatch.setenv("META_ACCESS_TOKEN", "old")
    assert reference.read() == "old"

    monkeypatch.setenv("META_ACCESS_TOKEN", "new")

    assert reference.read() == "new"


def test_a_variable_that_is_not_set_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("META_ACCESS_TOKEN", raising=False)

    assert error_of("env:META_ACCESS_TOKEN") == (
        "The environment variable META_ACCESS_TOKEN is not set. Set it: export META_ACCESS_TOKEN=…"
    )


@pytest.mark.parametrize("value", ["", "  ", "\n"], ids=repr)
def test_an_empty_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", value)

    assert error_of("env:META_ACCESS_TOKEN") == "env:META_ACCESS_TOKEN is empty."


@pytest.mark.parametrize(
    "value",
    [f"{TOKEN}\n{TOKEN}", f"Bearer {TOKEN}", f"{TOKEN}\x07", f"{TOKEN}é", f"{TOKEN}\udcff", f"{TOKEN}\u200b"],
    ids=["two_lines", "a_header", "a_control_character", "no_ascii", "no_text", "an_invisible_character"],
)
def test_what_cannot_be_a_token_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", value)

    assert error_of("env:META_ACCESS_TOKEN") == (
        "The value at env:META_ACCESS_TOKEN contains spaces or unprintable characters."
    )


# --- file: ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}\r\n"], ids=repr)
def test_a_token_is_read_from_a_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_bytes(text.encode())

    assert TokenReference(f"file:{tmp_path}/token").read() == TOKEN


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text(TOKEN)

    assert TokenReference("file:~/token").read() == TOKEN


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert error_of(f"file:{tmp_path}/none") == (f"The file {tmp_path}/none cannot be read: No such file or directory.")


def test_a_directory_is_an_error(tmp_path: Path) -> None:
    assert error_of(f"file:{tmp_path}") == f"The file {tmp_path} cannot be read: Is a directory."


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")

    assert error_of(f"file:{tmp_path}/token") == f"file:{tmp_path}/token is empty."


def test_a_file_that_is_no_text_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(TOKEN.encode() + b"\xff")

    assert error_of(f"file:{tmp_path}/token") == f"The file {tmp_path}/token cannot be read: it is not text."


def test_a_file_with_more_than_a_token_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"META_ACCESS_TOKEN = {TOKEN}\n")

    assert error_of(f"file:{tmp_path}/token") == (
        f"The value at file:{tmp_path}/token contains spaces or unprintable characters."
    )


# --- secret: ----------------------------------------------------------------------------------------------------

SECRET = "projects/acme/secrets/meta/versions/latest"


class SecretManager:
    """Stands in for Google's client: holds one secret, or fails as it is made to."""

    def __init__(self, data: bytes = b"", failure: Exception | None = None) -> None:
        self._data, self._failure = data, failure
        self.asked: list[str] = []

    def access_secret_version(self, *, name: str) -> types.SimpleNamespace:
        self.asked.append(name)
        if self._failure:
            raise self._failure
        return types.SimpleNamespace(payload=types.SimpleNamespace(data=self._data))


def install(monkeypatch: pytest.MonkeyPatch, client: SecretManager | None) -> None:
    """Makes `client` what google.cloud.secretmanager offers; None for a machine without that package."""
    cloud = types.ModuleType("google.cloud")
    if client is not None:
        module = types.ModuleType("google.cloud.secretmanager")
        module.SecretManagerServiceClient = lambda: client  # type: ignore[attr-defined]
        cloud.secretmanager = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google.cloud", cloud)
    monkeypatch.delitem(sys.modules, "google.cloud.secretmanager", raising=False)


def test_a_token_is_read_from_secret_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    client = SecretManager(f"{TOKEN}\n".encode())
    install(monkeypatch, client)

    assert TokenReference(f"secret:{SECRET}").read() == TOKEN
    assert client.asked == [SECRET]


def test_without_the_gcp_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)

    assert error_of(f"secret:{SECRET}") == "Reading from secret: needs the gcp extra: pip install 'capybeam[gcp]'."


@pytest.mark.parametrize(
    ("client", "failure"),
    [
        (SecretManager(failure=PermissionError(f"denied for {TOKEN}")), "PermissionError"),
        (SecretManager(data=TOKEN.encode() + b"\xff"), "UnicodeDecodeError"),
    ],
    ids=["permission", "no_text"],
)
def test_a_secret_that_cannot_be_read_says_which_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, client: SecretManager, failure: str
) -> None:
    install(monkeypatch, client)

    assert error_of(f"secret:{SECRET}") == (
        f"The secret {SECRET} cannot be read ({failure}). Does it exist, and does this account hold"
        " roles/secretmanager.secretAccessor on it?"
    )


def test_an_empty_secret_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, SecretManager(b""))

    assert error_of(f"secret:{SECRET}") == f"secret:{SECRET} is empty."
