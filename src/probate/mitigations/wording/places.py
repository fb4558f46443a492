"""Names of institutions and places that begin like names of people."""

from __future__ import annotations

import re

STREET = re.compile(r"\d[ ]+(?:[A-Z]\w*[ ]+)+$")
"""Before «Dr.» it is a street: «12 Maple Dr. Boston»."""
KINDS = (
    "Hospitals?|Medical|Medicine|Health|Healthcare|Cent(?:er|re)s?|Clinics?|University|Colleges?|Schools?|Institutes?|Foundation|Church|Street|St|"
    "Road|Rd|Avenue|Ave|Lane|Boulevard|Prize|Award|Fellowship|Lectureship|Society|Association|Airport|Library|Museum|Cathedral|Stadium|Theat(?:er|re)|"
    "Restaurant|Hotel|Bakery|Inc|Ltd|LLC|Corporation|Company|Media|Press"
)
OWNED = "Boutique|Caf[eé]|Diner|Grill|Bar|Kitchen|Deli|Bookshop|Bookstore|Shop|Store|Inn|Day|Pizza|Pizzeria|Place|House|Tavern|Pub|Market"
"""Names of families too: they count after «'s» alone."""
PLACE = re.compile(
    rf"(?:['’]s?)?(?:[ ]+(?:[A-Z][\w'’-]*|of|and|for|&))*?[ ]*\b(?:{KINDS})\b|['’]s?[ ]+(?:[A-Z][\w'’-]*[ ]+)?(?:{OWNED})\b"
)
"""«Henry Ford Hospital», «Brigham and Women's Hospital», «Paul's Boutique»."""
SAINT = re.compile(r"\b(?:St\.?|Saint|Santa|San|Mount|Mt\.?|Lake|Port|Fort|Camp)[ ]+$")


def of_a_place(whole: str, after: str) -> bool:
    """Whether what is capitalised begins, or is, the name of an institution or a place."""
    last = whole.rsplit(" ", 1)[-1]
    inside = " " in whole and PLACE.fullmatch(f" {last}") is not None
    return inside or PLACE.match(after) is not None
