"""A person, and what a cleaner leaves of objects."""

from __future__ import annotations

import copy
from typing import Any

from capybeam.transforms.meta.personal_data.cleaner import Cleaner, Watch
from capybeam.transforms.meta.personal_data.person import Person, squeezed

Json = dict[str, Any]


def cleaned(custom_data: Json, *allowed: str) -> tuple[Json, int]:
    """What is left, and how many keys were removed."""
    removed: list[None] = []
    before = copy.deepcopy(custom_data)
    left = Cleaner(frozenset(allowed)).data(custom_data, lambda: removed.append(None))
    assert custom_data == before, "the event itself stays as it is, for the dead letters"
    return left, len(removed)


JANE = {
    "email": "jane@localhost",
    "phone": "+1 (650) 555-1212",
    "firstName": "Jane",
    "lastName": "O'Connor",
    "city": "San Francisco",
    "state": "CA",
    "zip": "94107",
    "dateOfBirth": "1990-05-17",
}


def own(data: Json, given: Json = JANE, *allowed: str) -> Json:
    """What is left of an object, looked through as hashing does."""
    cleaner, person = Cleaner(frozenset(allowed)), Person(given, None)
    watch = Watch(person.wholes, [])
    left = cleaner.data(data, lambda: None, watch)
    found: Json = cleaner.own(left, person, lambda: None) if person.may_be_in(squeezed("\n".join(watch.seen))) else left
    return found
