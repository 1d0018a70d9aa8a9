"""The changes that would help most conversions: a trait that is mapped nowhere, values that are dropped, rejections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from capybeam.pipeline.coverage import is_mapped, mapped_paths
from capybeam.pipeline.explain.advice import of_code
from capybeam.pipeline.quality_report.bounded import BoundedCounter
from capybeam.pipeline.quality_report.groups import GroupCounts
from capybeam.pipeline.quality_report.match_keys import LABELS, STRONG
from capybeam.pipeline.quality_report.numbers import OTHERS, Change
from capybeam.pipeline.sample_paths import ITEM, Keys, dotted, plain
from capybeam.transforms.core.conversions import split_key
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.meta.settings import MetaSettings
from capybeam.transforms.meta.user_data import KEYS

SHOWN: Final = 3
MOST_PATHS: Final = 2_000
_OF_WEAK: Final = 0.25  # what a weak match key counts for, against a strong one or a whole conversion

# Names of keys of events, spelt in any way, and the key of user_data that their values are for.
_NAMES: Final[Mapping[str, str]] = {
    name: key
    for key, names in {
        "email": "email emailaddress mail useremail customeremail",
        "phone": "phone phonenumber mobile mobilephone mobilenumber telephone tel cellphone msisdn",
        "firstName": "firstname givenname fname",
        "lastName": "lastname surname familyname lname",
        "gender": "gender sex",
        "dateOfBirth": "dateofbirth birthday birthdate dob",
        "externalId": "userid customerid externalid",
        "fbp": "fbp",
        "fbc": "fbc fbclid",
        "client_ip_address": "ip ipaddress",
        "client_user_agent": "useragent",
        "madId": "advertisingid idfa madid",
        "leadID": "leadid",
    }.items()
    for name in names.split()
}
# The same of a place, which is a person's only inside of what is.
_PLACES: Final[Mapping[str, str]] = {
    name: key
    for key, names in {
        "city": "city town",
        "state": "state region province",
        "zip": "zip zipcode postalcode postcode",
        "country": "country countrycode",
    }.items()
    for name in names.split()
}
_PERSONS: Final = frozenset("traits address customer user billing shipping billingaddress shippingaddress".split())
_ROOTS: Final = frozenset({"properties", "traits", "context"})
# Not a change of the job file: an input that is read long afterwards is old.
_OF_AGE: Final = frozenset({"event_too_old", "event_in_future"})


class Changes:
    """Counts, in a sample of the events, paths that a subscription does not look up and that a match key may be at."""

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._subscriptions = {each.key: each for each in subscriptions}
        self._used = {
            each.key: mapped_paths(each) for each in self._subscriptions.values() if not each.has_fixed_mapping
        }
        self._wanted: dict[tuple[str, Keys], tuple[str, bool]] = {}
        self._missing: BoundedCounter[tuple[str, str, Keys]] = BoundedCounter(MOST_PATHS)
        self._there: BoundedCounter[tuple[str, Keys]] = BoundedCounter(MOST_PATHS)
        self._looked_up: BoundedCounter[tuple[str, Keys]] = BoundedCounter(MOST_PATHS)
        self._sampled: Counter[str] = Counter()

    def add(self, subscription: str, paths: Mapping[Keys, bool], keys: tuple[str, ...], weight: int) -> None:
        """Counts a conversion.

        Args:
            paths: of its event; see `paths_of`.
            keys: the match keys that it has.
            weight: how many conversions it stands for.
        """
        if subscription not in self._used:
            return
        destination, _ = split_key(subscription)
        self._sampled[destination] += weight
        for path, is_leaf in paths.items():
            name, is_used = self._key_for(subscription, path) if is_leaf else ("", False)
            if name:
                self._there.add((destination, path), weight)
                if is_used:
                    self._looked_up.add((destination, path), weight)
                elif KEYS[name].wire not in keys:
                    self._missing.add((destination, name, path), weight)

    def _key_for(self, subscription: str, path: Keys) -> tuple[str, bool]:
        """The key of user_data that a path's value is for, "" for none; and whether the subscription looks it up."""
        at = (subscription, path)
        found = self._wanted.get(at)
        if found is None:
            name = suggested(path)
            found = "", False
            if name in _user_data(self._subscriptions[subscription]):
                found = name, is_mapped(path, self._used[subscription])
            if len(self._wanted) < MOST_PATHS * 10:
                self._wanted[at] = found
        return found

    def best(self, groups: Mapping[tuple[str, str], GroupCounts], is_estimate: bool) -> tuple[Change, ...]:
        """The changes that would help most, the best first.

        Args:
            is_estimate: whether the paths are of a sample of the events.
        """
        found = [*self._mapped(groups, is_estimate), *self._repaired(groups), *self._fixed(groups)]
        found.sort(key=lambda each: (-each[0], each[1].title))
        return tuple(change for _, change in found[:SHOWN])

    def _mapped(
        self, groups: Mapping[tuple[str, str], GroupCounts], is_estimate: bool
    ) -> Iterator[tuple[float, Change]]:
        seen: set[tuple[str, str]] = set()
        for (destination, name, path), gains in self._missing.most_common():
            if (destination, name) in seen:
                continue
            seen.add((destination, name))
            wire, of = KEYS[name].wire, _conversions(groups, destination)
            sampled = max(1, self._sampled[destination])
            there, used = self._there[destination, path] / sampled, self._looked_up[destination, path] / sampled
            gains = min(gains, of)
            detail = (
                f"{dotted(path)} is in {_share(there)} of the events that {destination} takes and mapped in"
                f" {_share(used)}; {_share(_coverage(groups, destination, wire))} of its conversions have {wire}."
            )
            title = f'Map {name} in {destination}: {{"@path": "{dotted(path)}"}}'
            yield gains * _weight(wire), Change("map_key", destination, gains, of, is_estimate, title, detail)

    def _repaired(self, groups: Mapping[tuple[str, str], GroupCounts]) -> Iterator[tuple[float, Change]]:
        lost: Counter[tuple[str, str]] = Counter()
        shapes: dict[tuple[str, str], Counter[str]] = {}
        for (destination, _), group in groups.items():
            for wire, number in group.lost.items():
                found = group.shapes_of(f"dropped_{wire}")
                if found:  # otherwise it is not the value that is at fault: a wire format may not have the key
                    lost[destination, wire] += number
                    shapes.setdefault((destination, wire), Counter()).update({s.name: s.count for s in found})
        for (destination, wire), gains in lost.items():
            of = _conversions(groups, destination)
            mostly = ", ".join(name for name, _ in shapes[destination, wire].most_common(3) if name != OTHERS)
            detail = f"{_counted(gains, 'has', 'have')} no {wire}, because the values are not valid: mostly {mostly}."
            if wire == "ph" and not self._has_country(destination):
                detail += " Set the destination's default_country, if the numbers are national ones."
            title = f"Repair the values of {LABELS.get(wire, wire)} ({wire}) for {destination}"
            yield gains * _weight(wire), Change("repair_values", destination, gains, of, False, title, detail)

    def _has_country(self, destination: str) -> bool:
        return any(
            isinstance(each, MetaSettings) and each.default_country
            for each in self._subscriptions.values()
            if each.destination == destination
        )

    def _fixed(self, groups: Mapping[tuple[str, str], GroupCounts]) -> Iterator[tuple[float, Change]]:
        reasons: Counter[tuple[str, str, str]] = Counter()
        for (destination, _), group in groups.items():
            for (_, code, field), number in group.reasons.most_common():
                if code not in _OF_AGE:
                    reasons[destination, code, field] += number
        for (destination, code, field), gains in reasons.items():
            of_field = f" of {field}" if field and field.rpartition(".")[2] not in code else ""
            title = f"Fix {code}{of_field} in {destination}"
            of = _conversions(groups, destination)
            detail = f"{_counted(gains, 'is', 'are')} rejected. {of_code(code)}".rstrip()
            yield gains, Change("fix_rejections", destination, gains, of, False, title, detail)


def suggested(path: Keys) -> str:
    """The key of user_data that a path's value is for, by the path's keys; "" for none.

    >>> suggested(("context", "traits", "phone_number")), suggested(("properties", "state"))
    ('phone', '')
    """
    if len(path) < 2 or path[0] not in _ROOTS or ITEM in path:
        return ""
    last = plain(path[-1])
    if last in _PLACES and not _PERSONS.isdisjoint(map(plain, path[:-1])):
        return _PLACES[last]
    return _NAMES.get(last, "")


def _user_data(subscription: Subscription) -> frozenset[str]:
    """The keys of user_data that a subscription's action knows."""
    fields = [field for field in subscription.fields if field.name == "user_data"]
    return frozenset(inner.name for field in fields for inner in field.properties or ())


def _conversions(groups: Mapping[tuple[str, str], GroupCounts], destination: str) -> int:
    return sum(group.conversions for (name, _), group in groups.items() if name == destination)


def _coverage(groups: Mapping[tuple[str, str], GroupCounts], destination: str, wire: str) -> float:
    chosen = [group for (name, _), group in groups.items() if name == destination]
    return sum(group.keys()[wire] for group in chosen) / max(1, sum(group.examined for group in chosen))


def _counted(number: int, one: str, several: str) -> str:
    return f"{number:,} conversion{'s' * (number != 1)} {one if number == 1 else several}"


def _weight(wire: str) -> float:
    return 1 if wire in STRONG else _OF_WEAK


def _share(part: float) -> str:
    return f"{100 * part:.0f} %" if part in (0, 1) or 0.005 <= part <= 0.995 else "<1 %" if part < 0.5 else ">99 %"
