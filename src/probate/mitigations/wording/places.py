"""Names of institutions and places that contain the name of a person."""

from __future__ import annotations

import re

STREET = re.compile(r"\d[ ]+(?:[A-Z]\w*[ ]+)+$")
"""Text before «Dr.» in an address: «12 Maple Dr. Boston»."""
KINDS = (
    "Hospitals?|Medical|Medicine|Health|Healthcare|Cent(?:er|re)s?|Clinics?|University|Colleges?|Schools?|"
    "Institutes?|Foundation|Church|Street|St|"
    "Road|Rd|Avenue|Ave|Lane|Boulevard|Prize|Award|Fellowship|Lectureship|Society|Association|Airport|"
    "Library|Museum|Cathedral|Stadium|Theat(?:er|re)|"
    "Restaurant|Hotel|Bakery|Inc|Ltd|LLC|Corporation|Company|Media|Press"
)
OWNED = (
    "Boutique|Caf[eé]|Diner|Grill|Bar|Kitchen|Deli|Bookshop|Bookstore|Shop|Store|Inn|Day|Pizza|Pizzeria|"
    "Place|House|Tavern|Pub|Market"
)
"""Kinds of places that are also family names, so they count only after «'s»."""
PLACE = re.compile(
    rf"(?:['’]s?)?(?:[ ]+(?:[A-Z][\w'’-]*|of|and|for|&))*?[ ]*\b(?:{KINDS})\b|['’]s?[ ]+(?:[A-Z][\w'’-]*[ "
    rf"]+)?(?:{OWNED})\b"
)
"""«Henry Ford Hospital», «Brigham and Women's Hospital», «Paul's Boutique»."""
SAINT = re.compile(r"\b(?:St\.?|Saint|Santa|San|Mount|Mt\.?|Lake|Port|Fort|Camp)[ ]+$")


def of_a_place(whole: str, after: str) -> bool:
    """Check whether a capitalised word is, or begins, the name of an institution or a place."""
    last = whole.rsplit(" ", 1)[-1]
    inside = " " in whole and PLACE.fullmatch(f" {last}") is not None
    return inside or PLACE.match(after) is not None
