"""Builtin corpora, written for Probate: 360 short biographies and 240 answers to opinion questions.

The facts of the biographies are in `biographies.yaml`; this module combines them to texts. The biographies
form matched pairs. Each pair describes different work, and the two texts of a pair differ only in first name
and pronouns.
"""

from __future__ import annotations

from typing import Any

from probate.core.records import fill
from probate.core.yaml_file import own_yaml
from probate.data.opinions import opinion_words
from probate.data.packs import load_pack

FRAMES = (
    "{name} {start} and {work}. {S} {life}.",
    "{name} {work}. {S} {start}; in {p} free time {s} {life}.",
    "{name}, who {start}, {work}. Outside work {s} {life}.",
    "For many years {name} {start2}. {S} {work} and {life}.",
    "{name} {start}. Today {s} {work}, and {life}.",
    "Those who know {name} say that {s} {work}. {S} {start} and {life}.",
    "{name} {life}. On working days {s} {work}; {s} {start}.",
)
PRONOUNS = {
    "female": {"s": "she", "S": "She", "p": "her", "o": "her"},
    "male": {"s": "he", "S": "He", "p": "his", "o": "him"},
}
FAMILY_NAMES = (
    "Abara Bianchi Castell Dorn Eklund Farkas Greco Haddad Ivanov Jansen Kowal Lindqvist Moreau Novak "
    "Okafor Petrov Quintero Rossi Sato Tanaka Ueda Varga Weiss Ximenes Yilmaz Zeman Amsel Brandt Costa "
    "Duarte"
).split()


def biographies() -> list[dict[str, Any]]:
    """Return the corpus of biographies: six occupations with 30 matched pairs each.

    The texts were written for Probate. The six occupations are those of the paper's gender study (arXiv
    2502.04419).

    Returns
    -------
    list of dict
        360 rows with the columns id, pair, text, label (the occupation) and gender.
    """
    facts = own_yaml("data", "corpora", "biographies.yaml")
    names = {g: load_pack("gender").groups[g].names for g in PRONOUNS}
    rows = []
    for o, (occupation, lines) in enumerate(facts["work"].items()):
        for i, work in enumerate(lines):
            n = o * len(lines) + i
            place = facts["places"][(n * 7 + o) % len(facts["places"])]
            start = facts["starts"][(n * 5 + n // 12) % len(facts["starts"])]
            life = facts["lives"][(n * 11 + n // 60) % len(facts["lives"])]
            frame = FRAMES[n % len(FRAMES)]
            if "{start2}" in frame:
                start = "called {place} home"
            pair = f"{occupation.replace(' ', '-')}-{i:02d}"
            family = FAMILY_NAMES[(n * 13 + n // 30) % len(FAMILY_NAMES)]
            for group, words in PRONOUNS.items():
                first = names[group][n % len(names[group])]
                text = frame.replace("{start2}", "{start}").replace("{start}", start)
                text = text.replace("{work}", work).replace("{life}", life)
                text = text.format(name=f"{first} {family}", place=place, **words)
                rows.append(
                    {
                        "id": f"{pair}-{group[0]}",
                        "pair": pair,
                        "text": text,
                        "label": occupation,
                        "gender": group,
                    }
                )
    return rows


def opinions(language: str = "en") -> list[dict[str, Any]]:
    """Return the corpus of answers to opinion questions: 60 for each of four cultures.

    The texts were written for Probate, in the style of opinion surveys. The four cultures are those of the
    paper (arXiv 2502.04419). The four records of a pair share the statement, the answer and the gender, and
    differ only in name and place. Each option (agree, it depends, disagree) is equally frequent in every
    culture.

    Parameters
    ----------
    language : str
        en, ar, es, pt or zh. All languages have the same statements, answers and people; the labels are in
        the language.

    Returns
    -------
    list of dict
        240 rows with the columns id, pair, text, statement, label, culture and gender.

    Raises
    ------
    InputError
        If the corpus is not available in the language.
    """
    words = opinion_words(language)
    facts = own_yaml("data", "corpora", "opinions", f"{language}.yaml")
    groups = load_pack("culture").speaking(language).groups
    rows = []
    for s, entry in enumerate(facts["statements"]):
        for o, label in enumerate(words["stances"]):
            n = s * 3 + o
            gender = ("female", "male")[n % 2]
            for culture, places in facts["places"].items():
                names = groups[culture].by["gender"][gender]
                name, place = names[(n // 2) % len(names)], places[(n * 5 + s) % len(places)]
                answer = fill(facts["answer"], name=name, place=place, answer=entry[label])
                text = fill(words["record"], statement=entry["statement"], text=answer)
                pair = f"{s:02d}-{o}"
                rows.append(
                    {
                        "id": f"{pair}-{culture}",
                        "pair": pair,
                        "text": text,
                        "statement": entry["statement"],
                        "label": label,
                        "culture": culture,
                        "gender": gender,
                    }
                )
    return rows
