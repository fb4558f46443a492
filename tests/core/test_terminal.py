"""What comes from data, servers and models is shown on the terminal, and never obeyed.

By no command, on no stream.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import probate
from probate.commands.app import app
from probate.commands.output import give
from probate.core.progress import Reporter
from probate.core.terminal import CONTROL, shown, shown_json

BAD = [
    *range(0x09),
    0x0B,
    0x0C,
    0x0D,
    *range(0x0E, 0x20),
    *range(0x7F, 0xA0),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    0xD800,
]
EVIL = "a\x1b[2J\x1b]0;owned\x07\x9b31m\u202e[red]bold[/red]\r\x08z"
PLAIN = "Ü 中文 بائع 👩‍⚕️ a\tb\nc \u200f."


@pytest.mark.parametrize("code", BAD)
def test_no_control_character_is_left(code: int) -> None:
    assert not CONTROL.search(shown(f"a{chr(code)}b"))
    assert shown(f"a{chr(code)}b") in (f"a\\x{code:02x}b", f"a\\u{code:04x}b")


def test_texts_of_all_languages_stay() -> None:
    assert shown(PLAIN) == PLAIN


@pytest.mark.parametrize("text", [EVIL, PLAIN, *map(chr, BAD[:-1])])
def test_json_reads_as_the_same_value(text: str) -> None:
    printed = shown_json(json.dumps({text: text}, ensure_ascii=False))
    assert json.loads(printed) == {text: text} and not CONTROL.search(printed)


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_given_is_shown(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    give([EVIL], {EVIL: [EVIL]}, as_json)
    printed = capsys.readouterr().out
    assert not CONTROL.search(printed) and "[red]bold[/red]" in printed


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_shows_names_and_notes(terminal: bool) -> None:
    reporter, file = Reporter(), io.StringIO()
    reporter.console = Console(file=file, force_terminal=terminal, width=200, highlight=False)
    with reporter.stage(EVIL, 2, "items") as tick:
        tick(1, EVIL)
    reporter.say(EVIL)
    reporter.warn(EVIL)
    printed = file.getvalue()
    own = (
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", printed) if terminal else printed
    )  # the bar's own movements
    assert (
        not CONTROL.search(own)
        and "]0;owned\x07" not in printed
        and "[red]bold[/red]" in printed
        and "\x1b[2J" not in printed
    )


def test_a_file_name_in_an_error_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from probate.commands.app import main

    monkeypatch.setattr("sys.argv", ["probate", "report", str(tmp_path / "x\x1b[2J\x07\u202e")])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capfd.readouterr().err
    assert stopped.value.code == 2 and "x\\x1b[2J\\x07\\u202e" in said and not CONTROL.search(said)


def test_labels_and_texts_of_an_audit_are_shown(tmp_path: Path) -> None:
    rows = [{"text": f"She is a nurse. {EVIL} {i}", "label": EVIL} for i in range(30)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    for more in ([], ["--json"]):
        done = CliRunner().invoke(
            app, ["audit", "--augmented", str(tmp_path / "x.jsonl"), "--out", str(tmp_path / "o"), *more]
        )
        assert done.stdout and not CONTROL.search(done.output), done.output


def test_nothing_prints_past_the_terminal() -> None:
    found = [
        f"{path.name}:{n}"
        for path in Path(probate.__file__).parent.rglob("*.py")
        for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"typer\.s?echo\(|(?<![\w.])print\((?!.*file=lines)|std(out|err)\.write\(", line)
        and path.name not in ("terminal.py", "log_lines.py")
    ]
    assert found == []
