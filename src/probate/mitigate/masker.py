"""The masking of one text: one regular expression over all that may be replaced, and what stands there instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from probate.bias.names import COMMON, SAYING, WORD_NAMES, composed, folded, is_name
from probate.bias.packs import Pack
from probate.mitigate.english import ADVERBS, AUXILIARIES, CLOSED, CONTRACTIONS, NOT_VERBS, alone, cased, objective, plural
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
BEGINS = re.compile(r"(?:^|[.!?:\n])[\s*#_>\"“(«-]*$")
TITLES = {"mrs", "ms", "miss", "mr", "sir", "mx"}
HONORIFIC = r"(?:(?:Dr|Prof|Professor|Dra|Profa)\b\.?[ ]+)+"
DOCTOR = r"(?:(?:Dr|Dra|Prof|Profa)\b\.?[ ]+)+(?!Emerit|Dr\b|Prof\b)[A-ZÀ-Ý](?:[\w-]|['’](?!s\b))*"
"""Who follows it is a person, listed or not."""
STREET = re.compile(r"\d[ ]+(?:[A-Z]\w*[ ]+)+$")
"""Before «Dr.» it is a street: «12 Maple Dr. Boston»."""
FAMILY = r"(?:[ ]+[A-Z]\.?(?=[ ]))?(?:[ ]+(?:(?:de|da|do|dos|van|von|al-|el-)[ ]*)?[A-ZÀ-Ý][\w'’-]*(?!['’]s\b)){0,2}"
"""What may follow a first name: an initial, a particle, one or two family names."""
LOUD_FAMILY = r"(?:[ ]+(?!(?:IS|WAS|HAS|AND|THE|FOR|WITH|BY|IN|AT|OF)\b)[A-Z][A-Z'’-]{2,}(?!\w))?"
PLACE = re.compile(
    r"(?:['’]s?)?(?:[ ]+(?:[A-Z][\w'’-]*|of|and|for|&))*?[ ]*\b(?:Hospitals?|Medical|Medicine|Health|Healthcare|Cent(?:er|re)s?|Clinics?|University|"
    r"Colleges?|Schools?|Institutes?|Foundation|Church|Street|St|Road|Rd|Avenue|Ave|Lane|Boulevard|Prize|Award|Fellowship|Lectureship|Society|Association)\b"
)
"""Names of institutions and places begin like names of people: «Henry Ford Hospital», «Brigham and Women's Hospital»."""
SAINT = re.compile(r"\b(?:St\.?|Saint|Santa|San|Mount|Mt\.?|Lake|Port|Fort|Camp)[ ]+$")
MODAL = re.compile(
    r"\b(?:can|could|will|would|shall|should|may|might|must|do|does|did|let|(?:ca|do|does|did|wo|would|could|should)n['’]t)[ ]+$", re.I
)
"""Before «she» these take its verb as it is."""
BOTH = {"he": "they", "she": "they", "him": "them", "her": "their", "his": "their"}
PREDICATE = re.compile(r"\b(?:she|he|they|who|I|[A-Z]\w+)[ ]+(?:is|was|are|were|became)[ ]+(?:\w+ly[ ]+)?$")
ARTICLE = re.compile(r"\b(an?|the)[ ]+$", re.I)
PLURALS = {"arab", "brazilian", "mexican", "asian", "african", "hispanic", "latina", "latino", "buddhist", "christian", "hindu", "muslim", "atheist"}
FEMININE = {
    "pt": {"o": "a", "os": "as", "um": "uma", "uns": "umas", "do": "da", "dos": "das", "ao": "à", "aos": "às", "no": "na", "nos": "nas", "pelo": "pela", "pelos": "pelas"},
    "es": {"el": "la", "los": "las", "un": "una", "unos": "unas", "del": "de la", "al": "a la"},
}
"""Articles, which become those of «a pessoa», «la persona»."""
BEFORE_NAME = {"pt": {"a": "a", "da": "da", "de": "da", "na": "na", "em": "na", "à": "à", "pela": "pela", "por": "pela"}, "es": {"la": "la"}}
CHAIN = r"(?:,[ ]+|[ ]+(?:and|or)[ ]+|[ ]+)"
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
            people |= set(table["names"]) | COMMON
        self.language = language
        self.people = {n.lower() for n in people} | pronouns
        self.ordinary, self.persons = set(table.get("ordinary", ())), set(table.get("persons", ()))
        adjectives = [w for w in table.get("adjectives", ()) if w in plain or w in self.neutral]
        for word in set(adjectives) & PLURALS:
            self.neutral[f"{word}s"] = "people"
        known = [*self.neutral, *plain, *self.grammar]
        fixed = table.get("fixed", [])
        self.pattern = _pattern(people, known, adjectives, fixed, language)
        self.nameless = _pattern(set(), known, adjectives, fixed, language)

    def __call__(self, text: str, label: str = "") -> tuple[str, list[Change]]:
        """`label`: the record's own, whose words stay as they are."""
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
        """`_spans`, found in a text of one spelling and placed in the text as it is."""
        plain, places = folded(text) if self.language == "en" else composed(text)
        for start, end, new in self._spans(plain, own):
            yield (start, end, new) if places is None else (places[start], places[end], new)

    def _found(self, text: str, own: set[str]) -> Iterator[re.Match[str]]:
        """What may be replaced; a word that is no name where it stands is looked at as a word."""
        place = 0
        while found := self.pattern.search(text, place):
            kind = found.lastgroup
            if kind == "name" and found.group("first") and not is_name(found.group("first"), text, *found.span("first")):
                at = self.nameless.match(text, found.start())
                place = found.end("first") if at is None else at.end()
                if at is None or at.lastgroup == "fixed":
                    continue
                found, kind = at, at.lastgroup
            else:
                place = found.end()
            if kind != "fixed" and not (own and own & set(found.group().lower().split())):
                yield found

    def _spans(self, text: str, own: set[str]) -> Iterator[tuple[int, int, str]]:
        """(from, to, what stands there instead), in order."""
        entities = list(self._entities(text)) if self.entities else []
        subject = -1
        for found in self._found(text, own):
            extra, new = self._instead(found, text, subject)
            if new == found.group() and not extra:
                continue
            while entities and entities[0][1] <= found.start():
                yield (*entities.pop(0), MASK)
            while entities and entities[0][0] < found.end():
                entities.pop(0)  # what the lists know is not masked as an entity too
            if found.group().lower() in SUBJECTS:
                subject = found.start()
            start = found.start()
            if self.language == "en" and new and (article := ARTICLE.search(text, max(0, start - 6), start)):
                start, new = article.start(), _with_article(article.group(1), new, article.group(0)[len(article.group(1)) :])
            elif self.language in FEMININE and new and new[0] != "[":
                last = re.search(r"(?<!\w)(\w+)[ ]+$", text[max(0, start - 10) : start])
                own_article = new.lower() if found.lastgroup == "name" else ""
                table = FEMININE[self.language] | (BEFORE_NAME[self.language] if own_article else {})
                if last and last.group(1).lower() in table and not new.startswith(("es", "des", "nes")):
                    start -= len(last.group())
                    new = f"{cased(table[last.group(1).lower()], last.group(1).capitalize() if last.group(1)[0].isupper() else '')} {new.split(' ', 1)[1] if own_article else new}"
            yield start, found.end() + extra, new
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
            near = subject >= 0 and found.start() - subject <= REACH
            going_on = near and not CLAUSE.search(text[subject : found.start()])
            head, _, verb = found.group().rpartition(" ")
            return 0, f"{head} {plural(verb)}" if going_on and self.mode == "neutral" else found.group()
        whole = found.group()
        if whole[:1].isupper() and (
            _of_a_place(whole, after)
            or (kind == "name" and (SAINT.search(front) or STREET.search(front)))
        ):
            return 0, whole
        if kind == "attr":
            return self._attribute(found, front, after)
        if kind == "address":  # kept whole, or masked whole
            parts = set(re.findall(r"[a-z]+", whole.lower()))
            return 0, MASK if parts & self.people else whole
        if self.mode == "mask":
            return 0, MASK
        if kind == "name":
            before = front.rstrip(' *#_>-"“(')
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
        word = found.group("word")
        low = word.lower()
        if low in SUBJECTS and low in self.grammar:
            return (0, cased("they", word)) if MODAL.search(front) else _subject(word, after)
        if low in self.grammar:
            free, bound = PRONOUNS.get(low, ("", ""))
            return 0, cased(OTHERS.get(low) or (free if (objective(front, after) if low == "her" else alone(after)) else bound), word)
        new = self.neutral.get(low, MASK)
        if self.language == "ar" and new == MASK and low[0] in "وف":
            new = low[0] + self.neutral.get(low[1:], MASK)
        if not new:  # a title: what follows it is a name
            gap = re.match(r"\.?[ ]+(?:and[ ]+(?:Mrs?|Ms|Mx|Miss)\.?[ ]+)?(?=[A-Z])", after) if self.language == "en" else re.match(r"\.?\s+", after)
            return (gap.end(), "") if gap else (0, MASK)
        begins = BEGINS.search(front) is not None
        return 0, new if new == "people" and not begins and not word.isupper() else cased(new, word)

    def _both(self, whole: str, after: str) -> tuple[int, str]:
        """«he or she», «him/her», «his/her»: one word for both."""
        parts = re.findall(r"[a-z]+", whole.lower())
        if "s" in parts or set(parts) <= {"he", "she", "or"}:
            return _subject(whole[0] + "he" if whole[0].isalpha() else "she", after)
        if parts[0] in SUBJECTS:  # «she/her»
            return 0, "they/them"
        free = alone(after) if "his" in parts else True
        return 0, cased(("theirs" if "his" in parts and free else "them") if free else "their", whole)

    def _attribute(self, found: re.Match[str], front: str, after: str) -> tuple[int, str]:
        """«an Arab engineer» is «an engineer», but «a female who» is «a person who»; «a white coat» stays."""
        article, chain, gap = found.group("article") or "", found.group("chain"), found.group("gap") or ""
        following = re.match(r"[a-z]+(?:-[a-z]+)*", after) if gap else None
        word = following.group() if following else ""
        noun = bool(word) and not SAYING.match(f" {word}") and word not in CLOSED | NOT_VERBS | set(AUXILIARIES) | set(BOTH) | {"they", "we", "you", "it"}
        adjectives = re.split(r",?[ ]+(?:and[ ]+|or[ ]+)?", chain)
        begins = not front.strip() or front.rstrip().endswith((".", "!", "?", ":", "\n"))
        for adjective in adjectives:
            if adjective.lower() not in self.ordinary:
                continue
            capital = adjective[0].isupper() and not adjective.isupper() and not (begins and adjective == chain.split()[0])
            of_a_person = noun and (word in self.persons or word in self.neutral or word.rstrip("s") in self.persons)
            predicate = not article and not noun and PREDICATE.search(front) is not None
            if not (capital or of_a_person or predicate):
                return 0, found.group()
        sexed = all(a.lower() in ("female", "male") for a in adjectives)
        if self.mode == "mask":
            return 0, f"{_agreed(article, MASK)}{MASK}{gap}"
        if noun:
            if article:
                return 0, _agreed(article, word)
            if chain[0].isupper() and begins:
                return 1, word[0].upper()
            return 0, ""
        if article or sexed:
            person = "person" if article.strip().lower() != "the" or sexed else MASK
            return 0, f"{_agreed(article, person)}{person if article else cased(person, chain)}{gap}"
        return 0, f"{MASK}{gap}"


def _agreed(article: str, following: str) -> str:
    """`article`, with the space after it, as it stands before `following`."""
    if article.strip().lower() not in ("a", "an"):
        return article
    vowel = re.match(r"(?:[aeiou](?!ni[a-z]|ne\b|se)|hour|honest|heir)", following.lower()) and not following.lower().startswith(("euro", "use"))
    return cased("an " if vowel else "a ", article.strip())


def _with_article(article: str, new: str, gap: str) -> str:
    """An article and what now stands after it: one article, in agreement."""
    if new.lower().startswith("the "):
        new = new[4:]
    return f"{_agreed(article + ' ', new).strip()}{gap}{new}"


def _of_a_place(whole: str, after: str) -> bool:
    """Whether what is capitalised begins, or is, the name of an institution or a place."""
    last = whole.rsplit(" ", 1)[-1]
    inside = " " in whole and PLACE.fullmatch(f" {last}") is not None
    return inside or PLACE.match(after) is not None


def _pattern(people: set[str], words: list[str], adjectives: list[str], fixed: list[str], language: str) -> re.Pattern[str]:
    """Names as they are spelled or in capitals (in alphabets with the family name after them), words in any case."""

    def either(found: Iterable[str]) -> str:
        return "|".join(re.escape(w) for w in sorted(found, key=lambda w: (-len(w), w))) or r"(?!)"

    stays = f"(?P<fixed>{either(fixed)})"
    if language == "zh":
        return re.compile(rf"{stays}|(?P<name>(?P<first>{either(people)}))|(?P<word>{either(words)})")
    if language == "ar":
        head = rf"(?:[وف](?=(?:{either(words)})(?!\w)))?(?:ال|وال|بال|لل)?"
        return re.compile(rf"(?<!\w)(?:{stays}(?!\w)|(?P<name>(?P<first>{either(people)}))(?!\w)|(?P<word>{head}(?:{either(words)}))(?!\w))")
    if language != "en":
        return re.compile(
            rf"(?<!\w)(?:{stays}(?!\w)|(?P<name>(?:(?:{HONORIFIC})?(?P<first>{either(people)})|{DOCTOR})(?!\w){FAMILY})|(?P<word>(?i:{either(words)}))(?!\w))"
        )
    people = {folded(n)[0] for n in people}
    words = [folded(w)[0] for w in words]
    loud = either(n.upper() for n in people - WORD_NAMES if len(n) > 2 and n not in ("Min", "Jun", "Max", "Dan", "Ali", "Pat"))
    titled = {w.capitalize() for w in words if w in TITLES}  # «MS» is a degree, «miss» a verb
    plain = either(w for w in words if w not in TITLES)
    adverb = rf"(?:(?:{'|'.join(sorted(ADVERBS))})\s+)"
    grammar = "she" in words and "he" in words
    either_sex = r"\(s\)he|s/he|she/her|he/him|she(?:/|[ ]or[ ])he|he(?:/|[ ]or[ ])she|hi[ms](?:/|[ ]or[ ])her|her(?:/|[ ]or[ ])hi[ms]"
    name = (
        rf"(?=[A-Z])(?P<name>(?:(?:{HONORIFIC})?(?:[A-Z][a-z]+-)*(?P<first>{either(people)})(?:-[A-Z]\w*)*(?!\w){FAMILY}"
        rf"|{DOCTOR}(?!\w){FAMILY}|(?:[A-Z]+-)*(?:{loud})(?:-[A-Z]+)*(?!\w){LOUD_FAMILY}|(?<![.,;:][ ])O['’][A-Z][a-z]+))"
    )
    heads = "".join(sorted({c for w in adjectives for c in (w[0], w[0].upper())} | set("aAtT")))
    return re.compile(
        rf"(?<!\w)(?:(?P<address>[\w.+-]+@[\w.-]+\w|(?:https?://|www\.)[^\s<>\"]+)|{stays}(?!\w)"
        + (rf"|(?=[(hHsS])(?P<both>(?i:{either_sex}))(?!\w)|(?=[iIwWhHdD])(?P<asked>(?i:(?:is|was|has|does)(?:n['’]t)?[ ](?:she|he)))(?!\w|['’])" if grammar else "")
        + rf"|{name}"
        rf"|(?=[{heads}])(?P<attr>(?P<article>(?i:an?|the)[ ]+)?(?P<chain>(?i:{either(adjectives)})(?:{CHAIN}(?i:{either(adjectives)}))*)(?:(?P<gap>[ ]+)(?=[a-z])|(?!\w)))"
        rf"|(?P<word>{either(titled)}|(?i:{plain}))(?!\w)"
        rf"|(?=[abo])(?P<tail>(?:and|but|or)\s+(?:{adverb}*(?:is|was|has|does)|{adverb}+[a-z]+s)(?!\w)))"
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
