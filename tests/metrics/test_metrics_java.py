"""METEOR by the real jar where Java is, SPICE by a stand-in, and what happens where Java or a jar misbehaves."""

from __future__ import annotations

import gzip
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from showtell.metrics import NotMeasured, java, meteor, score, spice
from showtell.metrics.java import Dialogue, find_jar, find_java


@pytest.fixture
def real_meteor() -> None:
    if find_java() is None:
        pytest.skip("METEOR needs Java, which is not installed")
    if find_jar(java.METEOR_JAR) is None:
        pytest.skip("METEOR needs the extra pycocoevalcap")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `java` that runs the Python code in the "jar" that it is given, and jars that are there; gives their folder."""
    if os.name == "nt":
        pytest.skip("the stand-in for java is a shell script")
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nwhile [ "$1" != "-jar" ]; do shift; done\nshift\nexec "{sys.executable}" "$@"\n', encoding="utf-8"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(java, "find_java", lambda: str(program))
    monkeypatch.setattr(java, "find_jar", lambda name: tmp_path / Path(name).name)
    return tmp_path


# ---------------------------------------------------------------------------------------------------------------- METEOR


@pytest.mark.usefixtures("real_meteor")
def test_meteor_of_the_public_example(shared: Path) -> None:
    """A hundred of its pictures score as with the public scorer; an empty caption and METEOR's own separator do no harm."""
    with gzip.open(shared / "data/coco/fakecap_tokenized.json.gz") as file:
        tokenised = json.load(file)
    known = json.loads((shared / "data/coco/fakecap_scores.json").read_text("utf-8"))["per_image"]
    pictures = list(tokenised["gts"])[:100]
    captions, references = [tokenised["res"][i][0] for i in pictures], [tokenised["gts"][i] for i in pictures]
    captions, references = [*captions, "", "x ||| y"], [*references, ["a dog"], ["a dog", "a cat"]]
    found = score(captions, references, tokens="spaces", metrics=["meteor"])["METEOR"]
    assert found.unmeasured is None
    assert found.per_picture[100:] == (0, 0)
    assert found.per_picture[:100] == pytest.approx([known[i][3] for i in pictures], abs=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("real_meteor")
def test_meteor_of_the_whole_public_example(shared: Path) -> None:
    with gzip.open(shared / "data/coco/fakecap_tokenized.json.gz") as file:
        tokenised = json.load(file)
    pictures = list(tokenised["gts"])
    total, _ = meteor([tokenised["res"][i][0] for i in pictures], [tokenised["gts"][i] for i in pictures])
    assert round(total, 3) == 0.195


# -------------------------------------------------------------------------------------------------- what can go wrong


def test_without_java_or_jar_the_score_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: None)
    found = score(["a dog"], [["a dog"]], metrics=["bleu", "meteor", "spice"])
    assert found["METEOR"].value is None
    assert found["METEOR"].unmeasured == "METEOR needs Java, which is not installed"
    assert found["SPICE"].unmeasured == "SPICE needs Java, which is not installed"
    monkeypatch.setattr(java, "find_java", lambda: "java")
    monkeypatch.setattr(java, "find_jar", lambda name: None)
    assert "pip install" in (score(["a"], [["a"]], metrics=["meteor"])["METEOR"].unmeasured or "")


def test_other_languages_are_not_measured_in_english() -> None:
    assert "knows English only" in (score(["狗"], [["狗"]], tokens="characters", metrics=["meteor"])["METEOR"].unmeasured or "")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import time; time.sleep(60)", "gave no answer within 0.5 seconds"),
        ("import sys; sys.exit('no such model')", "ended without an answer (no such model)"),
        ("print('1.0')", "ended without an answer"),
        ("import os, sys, time; os.close(0); time.sleep(60)", "gave no answer"),  # the pipe to it is broken
        (
            "import sys\nsys.stderr.write('x' * 10**6)\nfor line in sys.stdin: print('no\\n' * 9, flush=True)",
            "instead of a number",
        ),
    ],
)
def test_a_program_that_misbehaves_is_given_up(stand_in: Path, program: str, said: str) -> None:
    (stand_in / "meteor-1.5.jar").write_text(program, encoding="utf-8")
    with pytest.raises(NotMeasured) as raised:
        meteor(["a dog"] * 3, [["a dog"]] * 3, seconds=0.5 if "sleep" in program else 30)
    assert said in str(raised.value)


def test_more_than_a_pipe_holds_is_no_trouble() -> None:
    echo = [sys.executable, "-c", "import sys\nfor line in sys.stdin: print(line, end='')"]
    lines = ["x" * 1000] * 2000
    with Dialogue(echo, Path.cwd(), 60) as talk:
        assert talk.ask(lines, len(lines)) == lines


def test_a_program_that_cannot_be_started() -> None:
    with pytest.raises(NotMeasured, match="cannot be started"):
        Dialogue(["/no/such/java"], Path.cwd(), 1)


# ----------------------------------------------------------------------------------------------------------------- SPICE


SPICE = """
import json, sys
asked = json.load(open(sys.argv[1], encoding="utf-8"))
score = lambda each: float("nan") if not each["test"] else len(each["refs"]) / 10
made = [{"image_id": each["image_id"], "scores": {"All": {"f": score(each)}}} for each in asked]
json.dump(made, open(sys.argv[sys.argv.index("-out") + 1], "w"))
"""


def test_spice_by_a_stand_in(stand_in: Path) -> None:
    (stand_in / "spice-1.0.jar").write_text(SPICE, encoding="utf-8")
    total, each = spice(["a dog", "a cat", ""], [["a"], ["a", "b", "c"], ["a"]])
    assert total == pytest.approx(0.2)
    assert each[:2] == [0.1, 0.3] and each[2] != each[2]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('out of memory')", "SPICE ended with status 1 (out of memory)"),
        ("pass", "wrote no scores"),
        ("import time; time.sleep(60)", "no answer within 0.5 seconds"),
    ],
)
def test_a_spice_that_fails_says_why(stand_in: Path, program: str, said: str) -> None:
    (stand_in / "spice-1.0.jar").write_text(program, encoding="utf-8")
    with pytest.raises(NotMeasured) as raised:
        spice(["a dog"], [["a dog"]], seconds=0.5 if "sleep" in program else 30)
    assert said in str(raised.value)


def test_spice_without_its_parser_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: "java")
    monkeypatch.setattr(java, "find_jar", lambda name: None if name == java.SPICE_PARSER else Path(name))
    with pytest.raises(NotMeasured, match="parser"):
        spice(["a"], [["a"]])
