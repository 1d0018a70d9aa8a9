"""Makes ``transforms/standards/countries.json``, the names of countries and states: ``python -m tools.countries``.

The names are those of CLDR in all its languages (by Babel) and of ISO 3166 in English (by pycountry). They
are pinned in a file so that a digest changes with a commit, never with somebody's release; it is also read in a
hundredth of the time. The file names its sources and their licences. To be run again when a country or a library
changes its names.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from capybeam.transforms.standards import countries
from capybeam.transforms.standards.spelling import plain

PATH: Final = Path(countries.__file__).with_name("countries.json")

# What no list has: abbreviations, parts of a country, names of before, and orders of words.
ALIASES: Final[Mapping[str, str]] = {
    "ae": "UAE|Emirates",
    "ba": "Bosnia",
    "bn": "Brunei",
    "bq": "Bonaire|Bonaire, Sint Eustatius and Saba",
    "cd": "DRC|DR Congo|Congo DR|Zaire|Congo Kinshasa|Congo, Democratic Republic of",
    "ci": "Ivory Coast",
    "cg": "Congo Brazzaville",
    "cn": "PRC|PR China|Mainland China",
    "cv": "Cape Verde|Cabo Verde",
    "cz": "Czech Republic|Czechia",
    "gb": "UK|Great Britain|Britain|England|Scotland|Wales|Northern Ireland|United Kingdom of Great Britain",
    "hk": "Hong Kong|Hong Kong, China",
    "kg": "Kyrgyz Republic",
    "kp": "North Korea|N Korea|DPRK|DPR Korea",
    "kr": "Korea|South Korea|S Korea|ROK",
    "la": "Laos|Lao|Lao PDR",
    "mk": "Macedonia|Macedonia, the former Yugoslav Republic of|FYROM",
    "mm": "Burma|Myanmar",
    "mo": "Macau|Macao|Macau, China",
    "nl": "Holland|The Netherlands",
    "ps": "Palestine|Palestinian Territory|West Bank and Gaza",
    "ru": "Russia",
    "sa": "KSA|Saudi",
    "sk": "Slovak Republic",
    "sx": "Sint Maarten|St Maarten",
    "st": "Sao Tome",
    "sy": "Syria",
    "sz": "Swaziland",
    "tl": "East Timor",
    "tr": "Turkey",
    "tt": "Trinidad",
    "tw": "Republic of China|Taiwan, China|ROC",
    "us": "United States|America|United States America|US of A|The States",
    "ve": "Venezuela, RB",
    "va": "Vatican|Vatican City|Holy See",
    "vg": "British Virgin Islands|Virgin Islands (British)",
    "vi": "US Virgin Islands|Virgin Islands (US)",
    "xk": "Kosovo|XKX|XK",
}
STATE_ALIASES: Final[Mapping[str, Mapping[str, str]]] = {
    "us": {"dc": "Washington DC"},
    "ca": {
        "bc": "Colombie-Britannique",
        "nb": "Nouveau-Brunswick",
        "nl": "Newfoundland|Terre-Neuve-et-Labrador",
        "ns": "Nouvelle-Écosse",
        "nt": "Territoires du Nord-Ouest",
        "pe": "Île-du-Prince-Édouard",
    },
}
# As people abbreviated them before there were two letters; the Post Offices' own lists.
ABBREVIATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "us": {
        "al": "Ala", "ar": "Ark", "az": "Ariz", "ca": "Calif Cal", "co": "Colo", "ct": "Conn", "de": "Del",
        "fl": "Fla", "il": "Ill", "in": "Ind", "ks": "Kans Kan", "ma": "Mass", "mi": "Mich", "mn": "Minn",
        "ms": "Miss", "mt": "Mont", "nc": "NCar", "ne": "Nebr Neb", "nv": "Nev", "ok": "Okla", "or": "Oreg Ore",
        "pa": "Penn Penna", "sc": "SCar", "tn": "Tenn", "tx": "Tex", "va": "Virg", "wa": "Wash", "wi": "Wis Wisc",
        "wv": "WVa", "wy": "Wyo",
    },
    "ca": {
        "ab": "Alta", "mb": "Man", "nl": "NF NFLD", "nt": "NWT", "on": "Ont", "pe": "PEI", "qc": "Que PQ", "sk": "Sask",
    },
}  # fmt: skip
# Of the subdivisions, those whose names are also looked for within a longer text. The rest are islands.
_ISLANDS: Final = frozenset("as gu mp um vi".split())


def made() -> str:
    """The file's text."""
    import babel
    import pycountry

    data = {
        "source": f"CLDR by Babel {babel.__version__}, ISO 3166 by pycountry {pycountry.__version__}",
        "licences": "CLDR: Unicode-3.0, © Unicode, Inc.",
        "countries": {code: " ".join(names) for code, names in sorted(_countries().items())},
        "states": {home: _states(home) for home in ("us", "ca")},
        "abbreviations": {
            home: {code: " ".join(dict.fromkeys((code, *map(plain, names)))) for code, names in _abbreviations(home)}
            for home in ("us", "ca")
        },
        "elsewhere": _elsewhere(),
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


# --- countries --------------------------------------------------------------------------------------------------


def _countries() -> dict[str, list[str]]:
    """Code → its names, each of one country only: what is said in English counts before other languages."""
    owner: dict[str, str] = {}
    for tier, english in ((_codes(), True), (_english(), True), (_translations(), False)):
        owners: defaultdict[str, set[str]] = defaultdict(set)
        for name, code in tier:
            for form in _forms(name, english):
                if form not in owner:
                    owners[form].add(code)
        owner.update({form: codes.pop() for form, codes in owners.items() if len(codes) == 1})
    names: defaultdict[str, list[str]] = defaultdict(list)
    for form, code in owner.items():
        names[code].append(form)
    return {code: sorted(forms) for code, forms in names.items()}


def _forms(name: str, english: bool) -> Iterator[str]:
    """A name as it is looked for: as it is, with what stands in brackets in front, without umlauts, and its core."""
    for form in {*countries.turned(name), *countries.turned(name.translate(_UMLAUTS))}:
        for key in (plain(form), "".join(countries.core_words(form)) if english else ""):
            if len(key) > 1:
                yield key


_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


def _codes() -> Iterator[tuple[str, str]]:
    import pycountry

    for country in pycountry.countries:
        yield country.alpha_2, country.alpha_2.lower()
        yield country.alpha_3, country.alpha_2.lower()


def _english() -> Iterator[tuple[str, str]]:
    import pycountry
    from babel import Locale

    territories = Locale("en").territories
    for country in pycountry.countries:
        code = country.alpha_2.lower()
        for attribute in ("name", "official_name", "common_name"):
            name = getattr(country, attribute, None)
            if name:
                yield name, code
        yield territories[country.alpha_2], code
    for code, names in ALIASES.items():
        for name in names.split("|"):
            yield name, code


def _translations() -> Iterator[tuple[str, str]]:
    import pycountry
    from babel import Locale
    from babel.localedata import locale_identifiers

    known = {country.alpha_2 for country in pycountry.countries} | {"XK"}
    for identifier in sorted(locale_identifiers()):
        for code, name in Locale.parse(identifier).territories.items():
            if code in known:
                yield name, code.lower()


# --- states -----------------------------------------------------------------------------------------------------


def _subdivisions(home: str) -> Iterator[tuple[str, str]]:
    import pycountry

    for subdivision in sorted(pycountry.subdivisions.get(country_code=home.upper()), key=lambda each: str(each.code)):
        yield subdivision.code[3:].lower(), subdivision.name


def _states(home: str) -> dict[str, str]:
    return {
        code: " ".join(_names([name, *STATE_ALIASES[home].get(code, "").split("|")]))
        for code, name in _subdivisions(home)
        if code not in _ISLANDS
    }


def _abbreviations(home: str) -> Iterator[tuple[str, list[str]]]:
    for code, name in _subdivisions(home):
        short = ABBREVIATIONS[home].get(code, "").split()
        yield code, [*short, *([name] if code in _ISLANDS else [])]


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, map(plain, names))))


def _elsewhere() -> list[str]:
    """Names of states of other countries that contain the name of one of ours, and are not the same."""
    import pycountry

    ours = {name for home in ("us", "ca") for names in _states(home).values() for name in names.split()}
    others = {
        plain(re.sub(r"\s*[(\[].*", "", subdivision.name))
        for subdivision in pycountry.subdivisions
        if subdivision.country_code not in ("US", "CA")
    }
    return sorted(name for name in others - ours if any(our in name for our in ours))


if __name__ == "__main__":
    PATH.write_text(made(), encoding="utf-8")
