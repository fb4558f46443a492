"""Masking of one text: a regular expression finds the words, and rules choose their replacements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, cached_property

from probate.data.names import COMMON, WORD_NAMES, composed, folded, is_name
from probate.data.packs import Pack
from probate.mitigations.wording.attributes import DECADES, PLURALS, Attributes
from probate.mitigations.wording.english import alone, cased, objective, plural, subject, with_article
from probate.mitigations.wording.pattern import pattern
from probate.mitigations.wording.places import SAINT, STREET, of_a_place
from probate.mitigations.wording.romance import with_its_article
from probate.mitigations.wording.words import first_names, gendered_words
from probate.tasks.taggers.english import proper_nouns

MASK = "[MASK]"
REACH = 200
"""Characters of context before and after a word. The bound keeps the time linear in the length of a text."""
OF_A_THING = re.compile(
    r"[ ]+(?!(?:of|who|whom|whose|that|we|you|they|she|he|from|in|on|and|or|but)\b)[a-z]{3,}"
)
"""Text after «the» and a name that denotes a thing."""
CALENDAR = set(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may "
    "june july august september october november "
    "december".split()
)
Change = tuple[int, str, str]
"""Offset in the masked text, text before, text after."""

SUBJECTS = {"she", "he", "xe", "ze"}
PRONOUNS = {
    "her": ("them", "their"), "his": ("theirs", "their"), "him": ("them", "them"),
    "xem": ("them", "them"), "xyr": ("their", "their"), "zir": ("them", "their"), "hir": ("them", "their"),
}  # fmt: skip
"""Pronoun → its replacement without a noun, and before a noun."""
CLAUSE = re.compile(r"[.!?;:,]|\b(?:but|who|which|that|while|because|when|as)\b")
"""Signs and words after which the subject may change."""
BEGINS = re.compile(r"(?:^|[.!?:\n])[\s*#_>\"“(«-]*$")
MODAL = re.compile(
    r"\b(?:can|could|will|would|shall|should|may|might|must|do|does|did|let|(?:ca|do|does|did|wo|would|"
    r"could|should)n['’]t)[ ]+$",
    re.I,
)
"""Words before «she» whose verb has no ending."""
ARTICLE = re.compile(r"\b(an?|the)[ ]+$", re.I)
OTHERS = {
    "hers": "theirs", "xyrs": "theirs", "zirs": "theirs", "hirs": "theirs", "herself": "themselves",
    "himself": "themselves",
    "xemself": "themselves", "zirself": "themselves", "hirself": "themselves",
}  # fmt: skip
SHORT_TITLE = re.compile(r"\.?[ ]+(?:and[ ]+(?:Mrs?|Ms|Mx|Miss)\.?[ ]+)?(?=[A-Z])")
TITLE = re.compile(r"[ ]+(?=[A-Z])")
COMPOUND = re.compile(r"-(?!in-law|to-be|in-waiting|elect)[a-z]")
"""Second parts of compounds: «man-made», «she-wolf»."""


@cache
def _many() -> frozenset[str]:
    """Return the first names that are not also words."""
    return frozenset(folded(n)[0] for n in first_names()) - WORD_NAMES


class Masker:
    """Callable that masks one text.

    Parameters
    ----------
    language : str
        Language of the texts (ISO 639-1).
    mode : {'neutral', 'mask'}
        Replace by neutral words, or always by [MASK].
    names, words : sequence of str
        Further names and words to mask.
    labels : sequence of str
        Labels, whose words are never changed.
    packs : sequence of Pack
        Identity packs whose names and words are masked.
    entities : bool
        If True, also mask proper nouns. English only.
    """

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
        many = _many() if self.grammar else frozenset()
        if self.grammar:
            people |= {*table["names"], *(n for pair in table["counterparts"] for n in pair)} | COMMON
        self.language = language
        short = {n for n in many if len(n) < 4} | {"Min", "Jun", "Max", "Dan", "Ali", "Pat"}
        self.loud = {
            folded(n)[0].upper() for n in (people - short - WORD_NAMES) | (many - short) if len(n) > 2
        }
        people |= many
        self.people = {n.lower() for n in people} | pronouns
        also = [table["also"][p.dimension] for p in packs if p.dimension in table.get("also", ())]
        nouns = {w: n for more in also for w, n in more["nouns"].items() if w not in self.kept}
        adjectives = [w for w in table.get("adjectives", ()) if w in plain or w in self.neutral]
        adjectives = sorted(
            {
                w
                for w in [*adjectives, *(w for more in also for w in more["adjectives"])]
                if w not in self.kept
            }
        )
        self.neutral |= nouns | {f"{w}s": "people" for w in adjectives if w in PLURALS}
        ages = language == "en" and any(p.dimension == "age" for p in packs)
        self.nouns, self.adjectives, self.things = set(nouns), set(adjectives), set(table.get("things", ()))
        known = sorted(
            {*self.neutral, *plain, *self.grammar}
            - set(adjectives)
            - (DECADES if language == "en" else set())
        )
        if language == "en":
            anywhere = {
                w
                for p in packs
                if p.dimension in ("gender", "culture")
                for g in p.groups.values()
                for w in g.titles
            }
            cultural = [
                w for p in packs if p.dimension == "culture" for w in table["also"]["culture"]["adjectives"]
            ]
            self.attributes = Attributes(table, {"female", "male", *anywhere, *cultural, *words}, self.people)
        self._words = (tuple(known), tuple(adjectives), tuple(table.get("fixed", ())), language, ages)
        self.pattern = pattern(frozenset(people), *self._words)

    @cached_property
    def nameless(self) -> re.Pattern[str]:
        """Regular expression of everything that may be replaced, except names."""
        return pattern(frozenset(), *self._words)

    def __call__(self, text: str, label: str = "") -> tuple[str, list[Change]]:
        """Mask a text.

        Parameters
        ----------
        text : str
            The text.
        label : str
            Label of the record, whose words are not changed.

        Returns
        -------
        masked : str
            The masked text.
        changes : list of (int, str, str)
            Offset in `masked`, text before and text after, for each replacement.
        """
        own = {label.lower(), *label.lower().split()} if label else set()
        parts: list[str] = []
        changes: list[Change] = []
        done = length = 0
        for start, end, new in self._placed(text, own):
            before = text[start:end]
            if start < done or before == new:
                continue
            parts += [text[done:start], new]
            length += start - done
            changes.append((length, before, new))
            length += len(new)
            done = end
        return ("".join([*parts, text[done:]]), changes) if changes else (text, [])

    def _placed(self, text: str, own: set[str]) -> Iterator[tuple[int, int, str]]:
        """Yield the `_spans` of the normalised text, with their positions in the original text."""
        plain, places = folded(text) if self.language == "en" else composed(text)
        for start, end, new in self._spans(plain, own):
            yield (start, end, new) if places is None else (places[start], places[end], new)

    def _matches(self, text: str, own: set[str]) -> Iterator[re.Match[str]]:
        """Yield the replaceable matches. A listed name that is not a name here is matched as a word."""
        place = 0
        while match := self.pattern.search(text, place):
            kind = match.lastgroup
            first = self._first(match) if kind == "name" else ""
            if first and not self._named(match, first, text):
                at = self.nameless.match(text, match.start())
                place = match.end(first) if at is None else at.end()
                if at is None or at.lastgroup == "fixed":
                    continue
                match, kind = at, at.lastgroup
            else:
                place = match.end()
            if kind != "fixed" and not (own and own & set(match.group().lower().split())):
                yield match

    def _first(self, match: re.Match[str]) -> str:
        """Return the regular expression group with the first name; empty if none is listed («Dr. Okafor»)."""
        return next(
            (g for g in ("first", "shout", "loud") if g in match.re.groupindex and match.group(g)), ""
        )

    def _named(self, match: re.Match[str], group: str, text: str) -> bool:
        """Check whether the text of the group is used as a person's name."""
        word = match.group(group)
        if (
            self.language == "en"
            and text.endswith(("The ", "the "), 0, match.start())
            and OF_A_THING.match(text, match.end())
        ):
            return False  # «the James Webb telescope»
        if group == "loud":
            return not self.loud.isdisjoint(word.split("-"))
        return is_name(word, text, *match.span(group))

    def _spans(self, text: str, own: set[str]) -> Iterator[tuple[int, int, str]]:
        """Yield start, end and replacement of each change, in order."""
        entities = list(self._entities(text)) if self.entities else []
        since = -1
        last = (0, -1, "")
        for match in self._matches(text, own):
            gone = last[0] if last[1] == match.start() and not last[2] else match.start()
            extra, new = self._instead(match, text, gone, since)
            if new == match.group() and not extra:
                continue
            while entities and entities[0][1] <= match.start():
                yield (*entities.pop(0), MASK)
            while entities and entities[0][0] < match.end():
                entities.pop(0)  # what the lists know is not masked as an entity too
            if match.group().lower() in SUBJECTS:
                since = match.start()
            start = match.start()
            if self.language == "en" and new and (article := ARTICLE.search(text, max(0, start - 6), start)):
                start, new = (
                    article.start(),
                    with_article(article.group(1), new, article.group(0)[len(article.group(1)) :]),
                )
            elif self.language in ("es", "pt"):
                start, new = with_its_article(text, start, new, match.lastgroup == "name", self.language)
            last = (start, match.end() + extra, new)
            yield last
        for start, end in entities:
            yield start, end, MASK

    def _entities(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield runs of proper nouns by the tagger HanTa, except words of the labels, days and months."""
        for start, end in proper_nouns(text):
            words = set(text[start:end].lower().split())
            if not words & self.kept and not words <= CALENDAR:
                yield start, end

    def _instead(self, match: re.Match[str], text: str, begin: int, since: int) -> tuple[int, str]:
        """Return the number of characters after the match that are also replaced, and the replacement.

        `begin` is the end of the unchanged text before the match, and `since` the position of the last
        «they».
        """
        after = text[match.end() : match.end() + REACH]
        front = text[max(0, begin - REACH) : begin]
        kind = match.lastgroup
        if kind == "tail":  # «She paints and now teaches»: both verbs have the same subject
            near = since >= 0 and match.start() - since <= REACH
            going_on = near and not CLAUSE.search(text[since : match.start()])
            head, _, verb = match.group().rpartition(" ")
            return 0, f"{head} {plural(verb)}" if going_on and self.mode == "neutral" else match.group()
        whole = match.group()
        capital = match.group("chain") if kind == "attr" else whole
        street = kind == "name" and (SAINT.search(front[-12:]) or STREET.search(front[-60:]))
        if capital[:1].isupper() and (of_a_place(capital, after) or street):
            return 0, whole
        if kind == "attr":
            return self.attributes.adjective(match, front, after, MASK, everything=self.mode == "mask")
        if kind == "age":
            return 0, self.attributes.age(whole, front, MASK)
        if kind == "address":  # masked as a whole, or not at all
            parts = set(re.findall(r"[a-z]+", whole.lower()))
            return 0, MASK if parts & self.people else whole
        if self.mode == "mask":
            return 0, MASK
        if kind == "name":
            before = front.rstrip(' *#_>-"“(«‘')
            if whole.isupper() and len(whole) > 3 and self.language == "en":
                return 0, self.person.upper()
            titled = re.search(r"\b(?:Mrs?|Ms|Mx|St)\.$", before)
            if titled:
                before = before[: titled.start()].rstrip()
            begins = not before or before.endswith((".", "!", "?", "¡", "¿", "\n", ":"))
            return 0, self.person[:1].upper() + self.person[1:] if begins else self.person
        if kind == "both":
            return self._both(whole, after)
        if kind == "asked":
            aux, _, who = whole.partition(" ")
            return 0, f"{cased(plural(aux.lower().replace('’', chr(39))), aux)} {cased('they', who)}"
        word = match.group("word")
        low = word.lower()
        if self.language == "en" and (COMPOUND.match(after) or front[-3:].lower() == "he-"):
            return 0, word
        if low in SUBJECTS and low in self.grammar:
            return (0, cased("they", word)) if MODAL.search(front[-12:]) else subject(word, after)
        if low in self.grammar:
            free, bound = PRONOUNS.get(low, ("", ""))
            by_itself = objective(front, after) if low in ("her", "zir", "hir") else alone(after)
            return 0, cased(OTHERS.get(low) or (free if by_itself else bound), word)
        new = self.neutral.get(low, MASK)
        if self.language == "ar" and new == MASK and low[0] in "وف":
            new = low[0] + self.neutral.get(low[1:], MASK)
        if not new:  # a title before a name
            english = SHORT_TITLE if len(low) < 4 and low != "sir" else TITLE
            gap = english.match(after) if self.language == "en" else re.match(r"\.?\s+", after)
            return (gap.end(), "") if gap else (0, MASK)
        said = re.search(r"([\w-]+)[ ]+$", front[-REACH:]) if low in self.things else None
        if said and said.group(1).lower() in self.adjectives:
            return 0, word  # «the Catholic church» is not changed
        begins = BEGINS.search(front[-20:]) is not None
        return 0, new if (
            new == "people" or low in self.nouns
        ) and not begins and not word.isupper() else cased(new, word)

    def _both(self, whole: str, after: str) -> tuple[int, str]:
        """Replace «he or she», «him/her» and «his/her» by one word."""
        parts = re.findall(r"[a-z]+", whole.lower())
        if "s" in parts or set(parts) <= {"he", "she", "or"}:
            return subject(whole[0] + "he" if whole[0].isalpha() else "she", after)
        if parts[0] in SUBJECTS:  # «she/her»
            return 0, "they/them"
        free = alone(after) if "his" in parts else True
        return 0, cased(("theirs" if "his" in parts and free else "them") if free else "their", whole)
