"""Names of institutions and places that begin like names of people."""

from __future__ import annotations

import re

STREET = re.compile(r"\d[ ]+(?:[A-Z]\w*[ ]+)+$")
"""Before «Dr.» it is a street: «12 Maple Dr. Boston»."""
PLACE = re.compile(
    r"(?:['’]s?)?(?:[ ]+(?:[A-Z][\w'’-]*|of|and|for|&))*?[ ]*\b(?:Hospitals?|Medical|Medicine|Health|Healthcare|Cent(?:er|re)s?|Clinics?|University|"
    r"Colleges?|Schools?|Institutes?|Foundation|Church|Street|St|Road|Rd|Avenue|Ave|Lane|Boulevard|Prize|Award|Fellowship|Lectureship|Society|Association)\b"
)
"""Names of institutions and places begin like names of people: «Henry Ford Hospital», «Brigham and Women's Hospital»."""
SAINT = re.compile(r"\b(?:St\.?|Saint|Santa|San|Mount|Mt\.?|Lake|Port|Fort|Camp)[ ]+$")


def of_a_place(whole: str, after: str) -> bool:
    """Whether what is capitalised begins, or is, the name of an institution or a place."""
    last = whole.rsplit(" ", 1)[-1]
    inside = " " in whole and PLACE.fullmatch(f" {last}") is not None
    return inside or PLACE.match(after) is not None


