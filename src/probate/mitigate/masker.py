"""The masking of one text: one regular expression over all that may be replaced, and what stands there instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from probate.bias.packs import Pack
from probate.mitigate.english import ADVERBS, AUXILIARIES, CLOSED, CONTRACTIONS, NOT_VERBS, alone, cased, plural
from probate.mitigate.words import gendered_words

MASK = "[MASK]"
REACH = 200
"""Characters before and after a word that are looked at: the time grows with the length of a text, not with its square."""
Change = tuple[int, str, str]
"""Offset in the masked text, what stood there, what stands there now."""

SUBJECTS = {"she", "he"}
PRONOUNS = {"her": ("them", "their"), "his": ("theirs", "their"), "him": ("them", "them")}
CLAUSE = re.compile(r"[.!?;:,]|\b(?:but|who|which|that|while|because|when|as)\b")
"""After one of these the subject may be another."""
TITLES = {"mrs", "ms", "miss", "mr", "sir", "mx"}
HONORIFIC = r"(?:Dr|Prof|Professor|Dra|Profa)\b\.?[ ]+"
DOCTOR = r"(?:Dr|Dra|Prof|Profa)\b\.?[ ]+(?!Emerit)[A-ZÀ-Ý](?:[\w-]|['’](?!s\b))*"
"""Who follows it is a person, listed or not."""
STREET = re.compile(r"\d[ ]+(?:[A-Z]\w*[ ]+)+$")
"""Before «Dr.» it is a street: «12 Maple Dr. Boston»."""
FAMILY = r"(?:[ ]+[A-Z]\.?(?=[ ]))?(?:[ ]+(?:(?:de|da|do|dos|van|von|al-|el-)[ ]*)?[A-ZÀ-Ý][\w'’-]*(?!['’]s\b)){0,2}"
"""What may follow a first name: an initial, a particle, one or two family names."""
PLACE = re.compile(
    r"(?:['’]s?)?(?:[ ]+(?:[A-Z][\w'’-]*|of|and|for|&))*?[ ]*\b(?:Hospitals?|Medical|Medicine|Health|Healthcare|Cent(?:er|re)s?|Clinics?|University|"
    r"Colleges?|Schools?|Institutes?|Foundation|Church|Street|St|Road|Rd|Avenue|Ave|Lane|Boulevard|Prize|Award|Fellowship|Lectureship|Society|Association)\b"
)
"""Names of institutions and places begin like names of people: «Henry Ford Hospital», «Brigham and Women's Hospital»."""
SAINT = re.compile(r"\b(?:St\.?|Saint|Santa|San|Mount|Mt\.?|Lake|Port|Fort|Camp)[ ]+$")
OTHERS = {"hers": "theirs", "herself": "themselves", "himself": "themselves"}


class Masker:
    """Called with a text, it returns the masked text and what was replaced. See `Mask` for the arguments."""

    def __init__(
        self,
        language: str,
        mode: str,
        names: Sequence[str],
        words: Sequence[str],
        labels: Sequence[str],
        packs: Sequence[Pack],
        entities: bool,
    ) -> None:
        table = gendered_words(language)
        groups = [g for p in packs for g in p.groups.values()]
        self.mode, self.entities, self.person = mode, entities, str(table["name"])
        self.kept = {w for label in labels for w in [label.lower(), *label.lower().split()]}
        self.neutral = {w: n for w, n in table["neutral"].items() if w not in self.kept}
        listed = {w for g in groups for w in (*g.pronouns, *g.titles)} | {w.lower() for w in words}
        plain = {w for w in listed if w not in self.kept and w not in self.neutral and "non" not in w}
        pronouns = SUBJECTS | set(PRONOUNS) | set(OTHERS)
        self.grammar = pronouns - self.kept if language == "en" and plain & SUBJECTS else set()
        plain -= {"they", "them", "their", "theirs", "themself", "themselves"} | self.grammar
        people = {n for g in groups for n in g.names} | set(names)
        if self.grammar:
            people |= set(table["names"])
        self.pattern = _pattern(people, [*self.neutral, *plain, *self.grammar], language)

    def __call__(self, text: str) -> tuple[str, list[Change]]:
        parts: list[str] = []
        changes: list[Change] = []
        done = length = 0
        for start, end, new in self._spans(text):
            before = text[start:end]
            if start < done or before == new:
                continue
            parts += [text[done:start], new]
            length += start - done
            changes.append((length, before, new))
            length += len(new)
            done = end
        return ("".join([*parts, text[done:]]), changes) if changes else (text, [])

    def _spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(from, to, what stands there instead), in order."""
        entities = list(self._entities(text)) if self.entities else []
        subject = -1
        for found in self.pattern.finditer(text):
            extra, new = self._instead(found, text, subject)
            if new == found.group() and not extra:
                continue
            while entities and entities[0][1] <= found.start():
                yield (*entities.pop(0), MASK)
            while entities and entities[0][0] < found.end():
                entities.pop(0)  # what the lists know is not masked as an entity too
            if found.group().lower() in SUBJECTS:
                subject = found.start()
            yield found.start(), found.end() + extra, new
        for start, end in entities:
            yield start, end, MASK

    def _entities(self, text: str) -> Iterator[tuple[int, int]]:
        """Runs of proper nouns, as HanTa tags them, but for words of the labels."""
        from probate.tasks.taggers.english import proper_nouns

        for start, end in proper_nouns(text):
            if not set(text[start:end].lower().split()) & self.kept:
                yield start, end

    def _instead(self, found: re.Match[str], text: str, subject: int) -> tuple[int, str]:
        """How many characters after the match go too, and what stands there instead. `subject`: where the last one became «they»."""
        after = text[found.end() : found.end() + REACH]
        front = text[max(0, found.start() - REACH) : found.start()]
        kind = found.lastgroup
        if kind == "tail":  # «She paints and now teaches»: the verb goes on from the same subject
            near = 0 <= subject and found.start() - subject <= REACH
            going_on = near and not CLAUSE.search(text[subject : found.start()])
            head, _, verb = found.group().rpartition(" ")
            return 0, f"{head} {plural(verb)}" if going_on and self.mode == "neutral" else found.group()
        whole = found.group()
        if whole[:1].isupper() and (
            _of_a_place(whole, after)
            or (kind == "name" and (SAINT.search(front) or STREET.search(front)))
        ):
            return 0, whole
        if kind == "sex":
            return 0, self._sex(found, after)
        if self.mode == "mask":
            return 0, MASK
        if kind == "name":
            before = front.rstrip(' *#_>-"“(')
            begins = not before or before.endswith((".", "!", "?", "¡", "¿", "\n", ":"))
            return 0, self.person[:1].upper() + self.person[1:] if begins else self.person
        word = found.group("word")
        low = word.lower()
        if low in SUBJECTS and low in self.grammar:
            return _subject(word, after)
        if low in self.grammar:
            free, bound = PRONOUNS.get(low, ("", ""))
            return 0, cased(OTHERS.get(low) or (free if alone(after) else bound), word)
        new = self.neutral.get(low, MASK)
        if not new:  # a title: what follows it is a name
            gap = re.match(r"\.?\s+", after)
            return (gap.end(), "") if gap else (0, MASK)
        return 0, cased(new, word)

    def _sex(self, found: re.Match[str], after: str) -> str:
        """«a female engineer» is «an engineer», but «a female who» is «a person who»."""
        article, sexes = found.group("article") or "", found.group("sexes")
        following = re.match(r"[a-z]+", after)
        if self.mode == "mask" or following is None or following.group() in CLOSED | NOT_VERBS | set(AUXILIARIES):
            return f"{article}{MASK if self.mode == 'mask' else cased('person', sexes)} "
        if article.strip().lower() in ("a", "an"):
            return cased("an " if following.group()[0] in "aeiou" else "a ", article)
        return article


def _of_a_place(whole: str, after: str) -> bool:
    """Whether what is capitalised begins, or is, the name of an institution or a place."""
    last = whole.rsplit(" ", 1)[-1]
    inside = " " in whole and PLACE.fullmatch(f" {last}") is not None
    return inside or PLACE.match(after) is not None


def _pattern(people: set[str], words: list[str], language: str) -> re.Pattern[str]:
    """Names as they are spelled (in alphabets with the family name after them), words in any case."""

    def either(found: Iterable[str]) -> str:
        return "|".join(re.escape(w) for w in sorted(found, key=lambda w: (-len(w), w))) or r"(?!)"

    if language == "zh":
        return re.compile(rf"(?P<name>{either(people)})|(?P<word>{either(words)})")
    article = r"(?:ال|وال|بال|لل)?" if language == "ar" else ""
    titled = {w.capitalize() for w in words if w in TITLES}  # «MS» is a degree, «miss» a verb
    plain = either(w for w in words if w not in TITLES)
    adverb = rf"(?:(?:{'|'.join(sorted(ADVERBS))})\s+)"
    tail = rf"|(?P<tail>(?:and|but|or)\s+(?:{adverb}*(?:is|was|has|does)|{adverb}+[a-z]+s)(?!\w))" if language == "en" else ""
    sexes = [w for w in ("female", "male") if w in words] if language == "en" else []
    sex = either(sexes)
    adjective = rf"(?P<sex>(?P<article>(?i:an?|the)[ ]+)?(?P<sexes>(?i:{sex})(?:[ ]+(?:and|or)[ ]+(?i:{sex}))?)[ ]+(?=[a-z]))|"
    return re.compile(
        rf"(?<!\w)(?:{adjective if sexes else ''}(?P<name>(?:(?:{HONORIFIC})?(?:{either(people)})|{DOCTOR})(?!\w){'' if language == 'ar' else FAMILY})"
        rf"|(?P<word>{either(titled)}|{article}(?i:{plain}))(?!\w){tail})"
    )


def _subject(word: str, after: str) -> tuple[int, str]:
    """«they» for a subject, with its verb: taken along where it follows at once, perhaps after an adverb."""
    they = cased("they", word)
    short = re.match(r"['’](s|d|ll)\b", after)
    if short:
        end = "ve" if short.group(1) == "s" and re.match(r"['’]s\s+(been|had|got)\b", after) else CONTRACTIONS[short.group(1)]
        return short.end(), f"{they}{short.group(0)[0]}{end}"
    found = re.match(rf"((?:\s+(?:{'|'.join(sorted(ADVERBS))}))*\s+)([^\W\d_]+(?:['’]t)?)", after)
    if not found or plural(found.group(2)) == found.group(2):
        return 0, they
    return found.end(), f"{they}{found.group(1)}{plural(found.group(2))}"
