"""What somebody writes by hand between an event of `benchmarks.events` and Meta's: names, values, normalising, hashing.

It is for events as uniform as those, in which nothing is missing, of a wrong type or hashed already, and it knows only
the states and countries that come in them. It needs no package, so that any Python can run it.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any, Final

Json = dict[str, Any]

NAMES: Final = {"Order Completed": "Purchase", "Product Added": "AddToCart", "Product Viewed": "ViewContent"}
COUNTRIES: Final = {"us": "us", "usa": "us", "united states": "us", "ca": "ca", "canada": "ca"}
STATES: Final = {
    "new york": "ny",
    "california": "ca",
    "texas": "tx",
    "illinois": "il",
    "florida": "fl",
    "massachusetts": "ma",
    "washington": "wa",
    "pennsylvania": "pa",
    "québec": "qc",
    "ontario": "on",
}


def person(event: Json) -> dict[str, str]:
    """The eleven identifiers as the event has them, under Meta's names."""
    traits = event["context"]["traits"]
    address = traits["address"]
    return {
        "em": traits["email"],
        "ph": traits["phone"],
        "ge": traits["gender"],
        "db": traits["birthday"],
        "ln": traits["lastName"],
        "fn": traits["firstName"],
        "ct": address["city"],
        "st": address["state"],
        "zp": address["postalCode"],
        "country": address["country"],
        "external_id": event["userId"],
    }


def normalised(values: dict[str, str]) -> dict[str, str]:
    """By Meta's documentation, as far as these events need it."""
    country = COUNTRIES[values["country"].lower()]
    state = values["st"].lower()
    postal_code = re.sub(r"\s", "", values["zp"].lower())
    return {
        "em": values["em"].strip().lower(),
        "ph": re.sub(r"\D", "", values["ph"]),
        "ge": values["ge"].lower()[:1],
        "db": values["db"].replace("-", ""),
        "ln": letters(values["ln"]),
        "fn": letters(values["fn"]),
        "ct": letters(values["ct"]),
        "st": STATES.get(state, state),
        "zp": postal_code[:5] if country == "us" else postal_code,
        "country": country,
        "external_id": values["external_id"].strip().lower(),
    }


def letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalpha())


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def event_time(event: Json) -> int:
    return int(datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00")).timestamp())


def custom_data(event: Json) -> Json:
    properties = event["properties"]
    products = properties.get("products") or [properties]
    data = {
        "currency": properties["currency"],
        "value": properties["revenue"] if "revenue" in properties else properties["price"],
        "contents": [
            {"id": each["product_id"], "quantity": each["quantity"], "item_price": each["price"]} for each in products
        ],
    }
    if "order_id" in properties:
        data["order_id"] = properties["order_id"]
    return data


def payload(event: Json) -> Json:
    """Meta's event."""
    context, page = event["context"], event["context"]["page"]
    hashed = {key: digest(value) for key, value in normalised(person(event)).items()}
    return {
        "event_name": NAMES[event["event"]],
        "event_time": event_time(event),
        "event_id": event["messageId"],
        "action_source": "website",
        "event_source_url": page["url"],
        "referrer_url": page["referrer"],
        "user_data": {
            **hashed,
            "client_ip_address": context["ip"],
            "client_user_agent": context["userAgent"],
            "fbp": event["properties"]["fbp"],
        },
        "custom_data": custom_data(event),
    }
