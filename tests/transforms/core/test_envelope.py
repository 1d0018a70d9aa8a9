"""Envelopes: what is sealed reads back, however the sealing is written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.core.envelope import LATEST, Envelope, write_seal
from capybeam.transforms.core.function_writer import FunctionWriter

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
seconds = st.integers(0, LATEST)
envelopes = st.builds(
    Envelope,
    subscription=texts,
    event_name=texts,
    event_id=st.none() | texts.filter(bool),
    event_time=seconds,
    age_limit=seconds,
    body=st.binary(max_size=50),
    history=st.none(),
    window=seconds,
)


@given(envelopes)
def test_what_is_encoded_reads_back(envelope: Envelope) -> None:
    assert Envelope.decode(envelope.encode()) == envelope


@given(envelopes, st.booleans())
def test_written_code_seals_as_encode_does(envelope: Envelope, name_is_fixed: bool) -> None:
    names = ("event_name", "event_id", "event_time", "age_limit", "body", "window")
    writer = FunctionWriter("sealed", *names)
    fixed = envelope.event_name if name_is_fixed else None
    sealed = writer.function(write_seal(writer, envelope.subscription, fixed, {name: name for name in names}))
    fields = envelope._asdict() | {"event_id": envelope.event_id or ""}
    assert sealed(*(fields[name] for name in names)) == envelope.encode()
