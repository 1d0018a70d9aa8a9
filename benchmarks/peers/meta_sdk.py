"""Meta's own client library, ``facebook-business``: events → `EventRequest`, a thousand at a time; nothing is sent.

    python -m benchmarks.peers.meta_sdk events.jsonl           prints nothing
    python -m benchmarks.peers.meta_sdk events.jsonl sample    prints the events of the first hundred lines

Runs in a virtual environment of its own (`benchmarks.peers.install`), without capybeam. The library normalises and
hashes nine of the identifiers; dates of birth have to come without dashes, genders as its enumeration, countries as
codes, and external_id hashed.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any, Final

from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.gender import Gender
from facebook_business.adobjects.serverside.user_data import UserData

from benchmarks.peers import by_hand

BATCH: Final = 1000
SAMPLE: Final = 100
GENDERS: Final = {"female": Gender.FEMALE, "male": Gender.MALE}


def converted(event: by_hand.Json) -> Any:
    person, data, context = by_hand.person(event), by_hand.custom_data(event), event["context"]
    return Event(
        event_name=by_hand.NAMES[event["event"]],
        event_time=by_hand.event_time(event),
        event_id=event["messageId"],
        action_source=ActionSource.WEBSITE,
        event_source_url=context["page"]["url"],
        referrer_url=context["page"]["referrer"],
        user_data=UserData(
            email=person["em"],
            phone=person["ph"],
            gender=GENDERS[person["ge"]],
            date_of_birth=person["db"].replace("-", ""),
            last_name=person["ln"],
            first_name=person["fn"],
            city=person["ct"],
            state=person["st"],
            zip_code=person["zp"],
            country_code=by_hand.COUNTRIES[person["country"].lower()],
            external_id=by_hand.digest(person["external_id"].strip().lower()),
            client_ip_address=context["ip"],
            client_user_agent=context["userAgent"],
            fbp=event["properties"]["fbp"],
        ),
        custom_data=CustomData(
            currency=data["currency"],
            value=data["value"],
            order_id=data.get("order_id"),
            contents=[
                Content(product_id=each["id"], quantity=each["quantity"], item_price=each["item_price"])
                for each in data["contents"]
            ],
        ),
    )


def main(path: Path, is_sample: bool) -> None:
    with path.open("rb") as lines:
        if is_sample:
            request = EventRequest(pixel_id="1", events=[converted(json.loads(line)) for line in islice(lines, SAMPLE)])
            for event in request.get_params()["data"]:
                print(event)
            return
        while batch := [converted(json.loads(line)) for line in islice(lines, BATCH)]:
            json.dumps(EventRequest(pixel_id="1", events=batch).get_params()["data"])  # as its client encodes it


if __name__ == "__main__":
    main(Path(sys.argv[1]), "sample" in sys.argv[2:])
