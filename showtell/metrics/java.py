"""METEOR 1.5 and SPICE, by the public jars that the extra `pycocoevalcap` brings, where Java is there.

M. Denkowski and A. Lavie, *Meteor Universal*, WMT 2014; P. Anderson et al., *SPICE*, ECCV 2016. Whatever keeps a jar from
answering (no Java, no jar, a crash, an answer that does not come) is raised as `NotMeasured`, never left to hang.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

Captions = Sequence[str]
References = Sequence[Sequence[str]]

METEOR_JAR = "meteor/meteor-1.5.jar"
SPICE_JAR = "spice/spice-1.0.jar"
SPICE_PARSER = "spice/lib/stanford-corenlp-3.6.0.jar"


class NotMeasured(Exception):
    """Why a score could not be measured, to be read after "not measured, because"."""


def find_java() -> str | None:
    """The program `java`: in $JAVA_HOME, else on the path."""
    home = os.environ.get("JAVA_HOME")
    return (home and shutil.which("java", path=str(Path(home) / "bin"))) or shutil.which("java")


def find_jar(name: str) -> Path | None:
    """A file of the package pycocoevalcap, which is not imported."""
    found = importlib.util.find_spec("pycocoevalcap")
    places = [Path(folder) / name for folder in (found.submodule_search_locations if found else None) or ()]
    return next((place for place in places if place.is_file()), None)


def _needed(what: str, jar: str) -> tuple[str, Path]:
    java, path = find_java(), find_jar(jar)
    if java is None:
        raise NotMeasured(f"{what} needs Java, which is not installed")
    if path is None:
        raise NotMeasured(f'{what} needs the extra pycocoevalcap (pip install ".[pycocoevalcap]")')
    return java, path


# -------------------------------------------------------------------------------------------------------------- METEOR


def meteor(captions: Captions, references: References, seconds: float = 1800.0) -> tuple[float, list[float]]:
    """METEOR 1.5 (English, normalised) of the corpus, from the sums of its counts, and of each caption.

    Args:
        captions: a caption for each picture, its tokens joined by spaces.
        references: for each picture, one or more references of that kind.
        seconds: how long it may take.

    Raises:
        NotMeasured: Java or the jar is not there, or gives no answer.
    """
    if not captions:
        raise NotMeasured("there are no captions")
    java, jar = _needed("METEOR", METEOR_JAR)
    command = [java, "-Xmx2G", "-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-jar", str(jar)]
    asked = [
        " ||| ".join(["SCORE", *map(_field, each), _field(caption)]) for caption, each in zip(captions, references, strict=True)
    ]
    with Dialogue([*command, "-", "-", "-stdio", "-l", "en", "-norm"], jar.parent, seconds) as talk:
        counts = talk.ask(asked, len(asked))
        answers = talk.ask([" ||| ".join(["EVAL", *counts])], len(counts) + 1)
    try:
        *each, total = map(float, answers)
    except ValueError:
        raise NotMeasured(f"METEOR answered {next(a for a in answers if not _is_number(a))!r:.80} instead of a number") from None
    return total, each


def _field(text: str) -> str:
    return " ".join(text.replace("|||", " ").split())


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


class Dialogue:
    """A program that answers lines with lines; used as a context, it is ended whatever happens.

    Questions are written and answers read by threads of their own, so that neither side waits for a full pipe.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        seconds: how long the whole dialogue may take.
    """

    def __init__(self, command: Sequence[str], folder: Path, seconds: float) -> None:
        self._deadline, self._seconds = time.monotonic() + seconds, seconds
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (closed on leaving); a pipe that nobody reads would fill up
        try:
            self._program = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints,
                encoding="utf-8", errors="replace",
            )  # fmt: skip
        except OSError as error:
            self._complaints.close()
            raise NotMeasured(f"{command[0]} cannot be started ({error.strerror or error})") from error
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, lines: Iterable[str], answers: int) -> list[str]:
        """Sends the lines, and waits for so many lines of answer.

        Raises:
            NotMeasured: the program ends, or does not answer in time.
        """
        threading.Thread(target=self._say, args=(lines,), daemon=True).start()
        return [self._answer() for _ in range(answers)]

    def _say(self, lines: Iterable[str]) -> None:
        assert self._program.stdin is not None
        try:
            self._program.stdin.writelines(f"{line}\n" for line in lines)
            self._program.stdin.flush()
        except (OSError, ValueError):
            pass  # it has ended; whoever waits for the answers is told

    def _listen(self) -> None:
        assert self._program.stdout is not None
        try:
            for line in self._program.stdout:
                self._answers.put(line.strip())
        except (OSError, ValueError):
            pass
        self._answers.put(None)

    def _answer(self) -> str:
        try:
            answer = self._answers.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except queue.Empty:
            raise NotMeasured(f"the Java program gave no answer within {self._seconds:g} seconds") from None
        if answer is None:
            raise NotMeasured(f"the Java program ended without an answer ({_last_line(self._complaints) or 'it says nothing'})")
        return answer

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()
        self._program.wait()
        for pipe in (self._program.stdin, self._program.stdout, self._complaints):
            try:
                if pipe:
                    pipe.close()
            except OSError:
                pass  # what was still to be written has no reader any more


def _last_line(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    lines = file.read().decode("utf-8", "replace").strip().splitlines()  # type: ignore[attr-defined]
    return str(lines[-1])[:200] if lines else ""


# --------------------------------------------------------------------------------------------------------------- SPICE


def spice(captions: Captions, references: References, seconds: float = 1800.0) -> tuple[float, list[float]]:
    """SPICE of the corpus, the mean of F over pictures, and F of each; what has no F (no objects at all) is left out of the mean.

    Args:
        captions: a caption for each picture, as written or tokenised.
        references: for each picture, one or more references of that kind.
        seconds: how long it may take.

    Raises:
        NotMeasured: Java, the jar or its parser is not there, or it fails.
    """
    java, jar = _needed("SPICE", SPICE_JAR)
    if find_jar(SPICE_PARSER) is None:
        raise NotMeasured("its parser, stanford-corenlp-3.6.0, is not here; pycocoevalcap.spice.spice.Spice() downloads it")
    asked = [{"image_id": i, "test": c, "refs": list(r)} for i, (c, r) in enumerate(zip(captions, references, strict=True))]
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "captions.json", Path(folder) / "scores.json"
        question.write_text(json.dumps(asked), encoding="utf-8")
        command = [java, "-Xmx8G", "-Dfile.encoding=UTF-8", "-jar", str(jar), str(question)]
        command += ["-cache", str(Path(folder)), "-out", str(answer), "-subset", "-silent"]
        opens = os.environ | {"JDK_JAVA_OPTIONS": "--add-opens=java.base/java.lang=ALL-UNNAMED"}  # Java 8 ignores it, 17 needs it
        try:
            done = subprocess.run(
                command, cwd=jar.parent, env=opens, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                encoding="utf-8", errors="replace", timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"SPICE gave no answer within {seconds:g} seconds") from None
        except OSError as error:
            raise NotMeasured(f"{java} cannot be started ({error.strerror or error})") from error
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise NotMeasured(f"SPICE ended with status {done.returncode} ({lines[-1][:200] if lines else 'it says nothing'})")
        try:
            found = {each["image_id"]: float(each["scores"]["All"]["f"]) for each in json.loads(answer.read_text("utf-8"))}
            each = [found[number] for number in range(len(asked))]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise NotMeasured("SPICE wrote no scores that can be read") from error
    measured = [score for score in each if not math.isnan(score)]
    if not measured:
        raise NotMeasured("no caption has a SPICE score")
    return math.fsum(measured) / len(measured), each
