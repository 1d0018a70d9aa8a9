"""An event → its envelope, in one function for a subscription: what the stages write, one below the other.

No conversion and no fields are made in between, and no value is looked up twice. What the stages do where an event is
not as most are, the function leaves to them: it raises then, and has changed nothing.
"""

from __future__ import annotations

from capybeam.transforms.language.completed_fields import write_completion
from capybeam.transforms.language.mapped_fields import FieldsWriter, write_event_fields
from capybeam.transforms.language.records import Shape
from capybeam.transforms.language.subscriptions import Encode
from capybeam.transforms.meta.clearing import write_clearing
from capybeam.transforms.meta.encoding import write_encoding
from capybeam.transforms.meta.server_events import write_server_event
from capybeam.transforms.meta.settings import MetaSettings
from capybeam.transforms.meta.user_data import write_user_data


def compile_encoding(subscription: MetaSettings, max_bytes: int, shape: Shape | None = None) -> Encode | None:
    """See `Subscription.compile_encoding`."""
    code = FieldsWriter("now", "window", "count", shape=shape)
    written = write_event_fields(code, subscription.mapping, subscription.fields, "user_data")
    if written is None:
        return None
    fields, given = written
    write_completion(code, subscription, fields)
    fields["user_data"] = write_user_data(code, given, fields["event_time"], subscription.default_country)
    write_clearing(code, subscription, given, fields["user_data"], fields)
    event = write_server_event(code, subscription, fields)
    return code.function(write_encoding(code, subscription, event, fields, max_bytes))
