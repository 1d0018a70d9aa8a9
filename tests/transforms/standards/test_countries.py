"""Countries and states by name: in every language, and as people write them."""

from __future__ import annotations

import pytest

from capybeam.transforms.standards import countries
from capybeam.transforms.standards.countries import country, state


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Korea", "kr"),
        ("Korea, Republic of", "kr"),
        ("Republic of Korea", "kr"),
        ("Korea, South", "kr"),
        ("S. Korea", "kr"),
        ("Korea, North", "kp"),
        ("Korea (North)", "kp"),
        ("Korea, Democratic People's Republic of", "kp"),
        ("Korea, Dem. People's Rep.", "kp"),
        ("Congo", "cg"),
        ("Republic of the Congo", "cg"),
        ("Congo, Dem. Rep.", "cd"),
        ("Democratic Republic of Congo", "cd"),
        ("Congo (Kinshasa)", "cd"),
        ("Trinidad & Tobago", "tt"),
        ("Trinidad and Tobago", "tt"),
        ("Hong Kong SAR China", "hk"),
        ("Myanmar (Burma)", "mm"),
        ("Turkiye", "tr"),
        ("TÜRKİYE", "tr"),
        ("Turkey", "tr"),
        ("The Gambia", "gm"),
        ("Gambia, The", "gm"),
        ("Netherlands (the)", "nl"),
        ("East Timor", "tl"),
        ("United States (US)", "us"),
        ("USA - United States", "us"),
        ("United_States", "us"),
        ("U.S.A.", "us"),
        ("Republic of Ghana", "gh"),
        ("Kingdom of Saudi Arabia", "sa"),
        ("Federal Republic of Germany", "de"),
        ("GermanyEurope", "de"),
        ("CanadaNorthAmerica", "ca"),
        ("BrazilSouthAmerica", "br"),
        ("Japan2024", "jp"),
        ("UAE", "ae"),
        ("U.A.E.", "ae"),
        ("KSA", "sa"),
        ("PRC", "cn"),
        ("People's Republic of China", "cn"),
        ("Republic of China", "tw"),
        ("Taiwan, Province of China", "tw"),
        ("Virgin Islands (U.S.)", "vi"),
        ("Virgin Islands, British", "vg"),
        ("St Vincent & the Grenadines", "vc"),
        ("Micronesia, Fed. Sts.", "fm"),
        ("Egypt, Arab Rep.", "eg"),
        ("Cote d'Ivoire", "ci"),
        ("Côte d’Ivoire (Ivory Coast)", "ci"),
        ("Oesterreich", "at"),
        ("Deutschland (DE)", "de"),
        ("Japão", "jp"),
        ("日本", "jp"),
        ("Россия", "ru"),
        ("대한민국", "kr"),
        ("المملكة العربية السعودية", "sa"),
        ("Kosovo", "xk"),
        ("", ""),
        ("Narnia", ""),
        ("Jersey City, USA", ""),  # two countries
        ("Georgia, USA", ""),
        ("London, United Kingdom", ""),
        ("EU", ""),
        ("x" * 100_000, ""),
    ],
)
def test_a_country_is_known_by_its_name(name: str, code: str) -> None:
    assert country(name) == code


@pytest.mark.parametrize(
    ("text", "home", "normalised"),
    [
        ("Ontario", "", "on"),
        ("ONTARIO", "ca", "on"),
        ("Newfoundland and Labrador", "", "nl"),
        ("Newfoundland", "ca", "nl"),
        ("Québec", "", "qc"),
        ("Colombie-Britannique", "ca", "bc"),
        ("CA-ON", "ca", "on"),
        ("CA-ON", "", "on"),
        ("British Columbia Province", "", "bc"),
        ("New York State", "", "ny"),
        ("Texas, USA", "us", "tx"),
        ("TexasCounty", "", "tx"),
        ("CaliforniaUSA", "", "ca"),
        ("1California", "", "ca"),
        ("Commonwealth of Massachusetts", "us", "ma"),
        ("West Virginia, USA", "us", "wv"),
        ("Arkansas USA", "", "ar"),
        ("Washington, D.C.", "", "dc"),
        ("US-TX", "us", "tx"),
        ("TX, USA", "us", "tx"),
        ("TX 78701", "", "tx"),
        ("Calif.", "us", "ca"),
        ("Guam", "us", "gu"),
        ("Guamal", "", "guamal"),
        ("Ontario", "us", "ontario"),
        ("California", "ca", "california"),
        ("California", "de", "california"),
        ("Baja California", "", "bajacalifornia"),
        ("Baja California", "mx", "bajacalifornia"),
        ("Maine-et-Loire", "", "maineetloire"),
        ("New South Wales", "", "newsouthwales"),
        ("Carolina", "", "carolina"),
        ("", "us", ""),
    ],
)
def test_a_state_has_two_letters_in_the_united_states_and_canada(text: str, home: str, normalised: str) -> None:
    assert state(text, home) == normalised


def test_every_country_of_iso_3166_and_kosovo_is_known_by_its_code() -> None:
    data = countries.load()
    assert len(data.codes) == 250
    assert all(data.countries[code] == code for code in data.codes)
    assert set(data.countries.values()) == data.codes
