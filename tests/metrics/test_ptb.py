"""The Penn Treebank tokeniser: literal cases, COCO's gold lines, and the original itself on captions made strange."""

from __future__ import annotations

import gzip
import random
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from showtell.metrics import ptb
from showtell.metrics.java import find_jar, find_java
from showtell.metrics.ptb import PUNCTUATION, ptb_tokens, treebank_tokens


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("A man, a plan: a canal!", "a man a plan a canal"),
        ("The dog's ball isn't the dogs' ball.", "the dog 's ball is n't the dogs ball"),
        ("They can't, won't, cannot and should've.", "they ca n't wo n't can not and should 've"),
        ("I'm gonna; lemme, gimme, wanna, gotta", "i 'm gon na lem me gim me wan na got ta"),
        ("'Tis, 'twas, rock 'n' roll, y'all, o'clock, ma'am", "'t is 't was rock 'n' roll y' all o'clock ma'am"),
        ("a dog’s “toy” — it’s", "a dog 's toy it 's"),
        ("well-known black-and-white, over- the edge", "well-known black-and-white over the edge"),
        ("and/or w/o w/ 24/7 elephant/", "and/or w/o w / 24/7 elephant /"),
        ("Mr. Smith in the U.S. on St. Louis Ave. at 5 p.m. today", "mr. smith in the u.s. on st. louis ave. at 5 p.m. today"),
        ("vitamin C. The bowl", "vitamin c the bowl"),
        ("J. K. Rowling", "j. k. rowling"),
        ("no. 5 is no. good", "no. 5 is no good"),
        ("5:54pm 5pm 10:30 1,000 .5 -5", "5:54 pm 5pm 10:30 1,000 .5 -5"),
        ("22 3/4 st 1/2 ½ 1 ½", "22\u00a03/4 st 1/2 1/2 1 1/2"),
        ("$5.00 US$5 £5 €5 5¢ 50% #41 #tag", "$ 5.00 us$ 5 # 5 $ 5 5 cents 50 % # 41 #tag"),
        ("(a) [b] {c} (555) 555-1234", "-lrb- a -rrb- -lsb- b -rsb- -lcb- c -rcb- -lrb-555-rrb-\u00a0555-1234"),
        ("wait... what.. really?! yes!no - -- ----- …", "wait what really ?! yes!no -----"),
        ("AT&T b&b a &amp; b Q&A C++", "at&t b & b a & b q&a c++"),
        ("me@example.com http://a.b/c?d photo.jpg", "me@example.com http://a.b/c?d photo.jpg"),
        (":) ;-) :-( :D ^_^ <3", ":-rrb- ;--rrb- :--lrb- :d ^_^ < 3"),
        ("a 😀 café\tnaïve\u00a0piñata ☃", "a café naïve piñata ☃"),
        ("two\nlines", "two lines"),
        ("Yahoo! on a sign, the '90S, HTTP://X.COM", "yahoo on a sign the '90s http://x.com"),
        ("&quot;a&quot; &Quot;b&QUOT;", "a &quot; b &quot;"),
        ("", ""),
        (" . ", ""),
    ],
)  # fmt: skip
def test_known_captions(caption: str, tokens: str) -> None:
    assert " ".join(ptb_tokens(caption)) == tokens


def test_an_endless_word_takes_no_endless_time() -> None:
    assert ptb_tokens("a" * 5000 + "!?") == ["a" * 5000, "!?"]
    assert ptb_tokens("a" * 998 + "!?") == ["a" * 998, "!?"]  # as far as rules look at first
    assert ptb_tokens(f"K.{' ' * 995}") == ["k"]


def test_with_punctuation() -> None:
    assert treebank_tokens('"Hi," it\'s (red).') == ["``", "hi", ",", "''", "it", "'s", "-lrb-", "red", "-rrb-", "."]


def test_every_gold_line_of_coco(shared: Path) -> None:
    with gzip.open(shared / "data/coco/ptb_gold.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    assert len(rows) == 20_000
    assert [(caption, gold) for _, caption, gold in rows if " ".join(ptb_tokens(caption)) != gold] == []


# ---------------------------------------------------------------------------------------------------- against the original

SENTENCES = [
    "A man's dog isn't on the well-known street, near St. Mary's (in the U.S.).",
    'Two girls\' bikes; 3 buses and a "stop" sign - at 5:30 p.m. on 22 3/4 Ave.',
    "The clock/tower reads 12:05, it's e.g. 1/2 of $1,000.50 & no. 7 ...",
    "I'd've said they're gonna rock 'n' roll o'clock, y'all can't wanna know",
    "Mr. O'Brien, Jr. and Dr. Who cannot ride: 10-year-old boys #41 can't.",
]
STRANGE = [
    *".,;:!?'\"`-()[]{}/\\&%$#@*+=<>~^|_", "...", "--", "''", "n't", "'s", "’", "“", "—", "&amp;", "é", "½", "€", "22", "a.m.",
    ":)", "😀",
]  # fmt: skip


def strange_captions(number: int) -> list[str]:
    """Captions with odd signs put in at odd places, each followed by a plain one, as in a file of captions."""
    dice = random.Random(0)
    made = []
    for _ in range(number):
        words = dice.choice(SENTENCES)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(words) + 1)
            words = words[:at] + dice.choice(STRANGE) + words[at:]
        made.append(words)
    return made


def test_strange_captions_come_out_as_from_the_original(tmp_path: Path) -> None:
    java, jar = find_java(), find_jar("tokenizer/stanford-corenlp-3.4.1.jar")
    if java is None or jar is None:
        pytest.skip("the original tokeniser needs Java and the extra pycocoevalcap")
    captions, file = strange_captions(3000), tmp_path / "captions"
    file.write_text("".join(f"{caption}\nA dog\n" for caption in captions), encoding="utf-8")
    command = [java, "-Dfile.encoding=UTF-8", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    done = subprocess.run([*command, "-preserveLines", "-lowerCase", str(file)], capture_output=True, timeout=120, check=True)
    lines = done.stdout.decode().split("\n")[: 2 * len(captions) : 2]
    original = [[token for token in line.rstrip().split(" ") if token and token not in PUNCTUATION] for line in lines]
    wrong = [(caption, ours) for caption, gold in zip(captions, original, strict=True) if (ours := ptb_tokens(caption)) != gold]
    assert wrong == []


def test_an_unbroken_text_is_not_read_to_its_end_for_every_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took two seconds for 24,000 characters, and four times as long for twice as many."""
    ends: list[int] = []

    class Watched(NamedTuple):
        pattern: re.Pattern[str]

        def match(self, line: str, at: int, end: int) -> re.Match[str] | None:
            ends.append(end - at)
            return self.pattern.match(line, at, end)

    monkeypatch.setattr(ptb, "RULES", [rule._replace(pattern=Watched(rule.pattern)) for rule in ptb.RULES])
    assert ptb_tokens("1,a" * 1000) == ["1", *["a1"] * 999, "a"]
    assert set(ends) == {1000}
