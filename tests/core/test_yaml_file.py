"""YAML that would grow, run or mislead: one sentence with file and line.

In every command's study and in packs; what people mean stays as it is.
"""

import tracemalloc

import pytest
import yaml
from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.errors import InputError
from probate.core.yaml_file import DEEPEST, LARGEST, read_yaml
from probate.data.packs import read_pack
from probate.execution.folder import RunFolder
from probate.study.schema import Study

NAME = "name: x\n"
LAUGHS = NAME + "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)  # fmt: skip
BAD = {
    "aliases that multiply": (LAUGHS, "aliases repeat"),
    "merges that multiply": (
        NAME + "m0: &m0 {k: v}\n" + "".join(
            f"m{i + 1}: &m{i + 1} {{<<: [*m{i}, *m{i}]}}\n" for i in range(40)
        ),
        "aliases repeat",
    ),
    "an alias of itself": (NAME + "a: &a [*a]\n", "an alias refers to a value that contains it"),
    "an alias of a mapping above": (
        NAME + "a: &a {b: {c: *a}}\n", "an alias refers to a value that contains it",
    ),
    "deep lists": (NAME + f"a: {'[' * 5000}\n", f"deeper than {DEEPEST}"),
    "deep mappings": (NAME + "a: " + "{a: " * 500 + "\n", f"deeper than {DEEPEST}"),
    "deep indents": (NAME + "".join(f"{' ' * i}a:\n" for i in range(2000)), f"deeper than {DEEPEST}"),
    "a date that is none": (NAME + "seeds: 2026-02-30\n", "'2026-02-30' is not a valid timestamp"),
    "an hour that is none": (NAME + "seeds: 2026-02-03 99:00:00\n", "is not a valid timestamp"),
    "a number of all digits": (NAME + f"seeds: {'9' * 5000}\n", "more than 100 characters"),
    "a number in base sixty": (NAME + f"seeds: 1{':59' * 3000}\n", "more than 100 characters"),
    "a list as a key": (NAME + "? [a, b]\n: c\n", "is not a string"),
    "a number as a key": (NAME + "1: c\n", "key '1' is not a string"),
    "a mapping as a key": (NAME + "? {a: b}\n: c\n", "not valid YAML"),
    "null as a key": (NAME + "~: c\n", "is not a string"),
    "a key twice": (
        NAME + "seeds: [0]\nseeds: [1]\n", ":3: not valid YAML: key 'seeds' is duplicated; remove one",
    ),
    "Python": (NAME + "a: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
    "a tag of its own": (NAME + "a: !include x.yaml\n", "could not determine a constructor"),
    "two documents": (NAME + "---\nname: y\n", "expected a single document"),
    "a bell": (NAME + "a: \x07\n", ":2: not valid YAML: a character that is not allowed (U+0007)"),
    "a mapping that is a word": (NAME + "a: !!map 3\n", ":2: not valid YAML: not a mapping"),
    "nothing at all": (NAME + "a: \0\n", "(U+0000)"),
    "a merge of a word": (NAME + "<<: x\n", "not valid YAML"),
    "an anchor that is not there": (NAME + "a: *b\n", ":2: not valid YAML"),
    "a tab": (NAME + "a:\n\tb: c\n", ":3: not valid YAML"),
    "an int that is none": (NAME + "a: !!int x\n", "'x' is not a valid int"),
    "a set": (NAME + "a: !!set {x, y}\nb: !!omap [x]\n", "not valid YAML"),
    "a set that is a word": (NAME + "a: !!set 3\n", "not a mapping"),
    "large": (NAME + "a: " + "x" * LARGEST, "larger than the maximum of"),
    "latin": (NAME.encode() + b"a: \xe9\n", "not UTF-8 at byte 11"),
    "UTF-16": ("name: x".encode("utf-16"), "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_yaml_is_one_sentence_with_its_place(kind, tmp_path):
    content, words = BAD[kind]
    path = tmp_path / "study.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    tracemalloc.start()
    for read in (read_yaml, Study.load, lambda p: read_pack(p, "gender")):
        with pytest.raises(InputError) as caught:
            read(path)
        said = str(caught.value)
        assert words in said and "study.yaml" in said and "\n" not in said and len(said) < 400, said
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_lock_file_is_one_sentence(kind, tmp_path, finished_run):
    content, _ = BAD[kind]
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "study.lock.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match="study.lock.yaml") as caught:
        RunFolder(tmp_path).study()
    assert "\n" not in str(caught.value)


MEANT = {
    "1e-5": 1e-5, "OFF": "OFF", "yes": "yes", "no": "no", "true": True, "[a, *x]": None,
    "2026-02-03": "a date", "0x1F": 31, "'1'": "1", "~": None, "1_000": 1000, ".5e3": 500.0,
}  # fmt: skip


@pytest.mark.parametrize("text", [t for t in MEANT if "*" not in t and MEANT[t] != "a date"])
def test_what_people_mean_stays(text, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(f"a: {text}\nb: &b [1, 2]\nc: *b\n", encoding="utf-8-sig")
    value, lines = read_yaml(path)
    assert value == {"a": MEANT[text], "b": [1, 2], "c": [1, 2]} and lines["c",].endswith(":3")


@pytest.mark.parametrize(
    "value", ["2026-02-30", "[" * 5000, "9" * 5000, "{a: 1, a: 2}", "*x", "!!python/name:os.system", "\x07"]
)
def test_an_override_of_bad_yaml_is_a_text_or_one_sentence(value, tmp_path):
    done = CliRunner().invoke(app, ["plan", "self-written", "--set", f"description={value}"])
    assert done.exit_code in (0, 2) or isinstance(done.exception, (InputError, SystemExit)), repr(
        done.exception
    )


def test_aliases_that_are_used_as_people_use_them_are_read(tmp_path):
    path = tmp_path / "x.yaml"
    rows = "".join(f"s{i}: {{<<: *d, n: {i}}}\n" for i in range(300))
    path.write_text("d: &d {a: 1, b: [1, 2, 3]}\n" + rows)
    assert read_yaml(path)[0] == yaml.safe_load(path.read_text())
