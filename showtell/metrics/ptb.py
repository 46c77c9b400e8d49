"""The Penn Treebank tokens of a caption, as COCO's scorer has them.

COCO's server runs Stanford's PTBTokenizer of 2014 (CoreNLP 3.4.1, in lower case) and drops punctuation from what it gives. This
is the same in Python: a table of rules, of which the longest match wins and, among equally long ones, the first. A rule may
look at what follows the token (its trailing context), which then counts for its length. The rules were found by trying the
original on many captions; `tests/metrics/test_ptb.py` holds them to it.

What is known to differ: the original reads a file of captions, and whether an initial at the end of one ("signs of K.") keeps its
full stop depends on how the next begins; here it begins with "A". Letters and digits that came into Unicode after the original
may stay or go (Sinhala digits, two Mongolian signs). A web or mail address of more than a thousand characters may come apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""What COCO's scorer drops. It means to drop brackets too, but names them in capitals, and they come as -lrb-: they stay."""


def ptb_tokens(caption: str) -> list[str]:
    """The caption's tokens in lower case without punctuation; ends of lines count as spaces."""
    return [token for token in treebank_tokens(caption) if token not in PUNCTUATION]


def treebank_tokens(caption: str) -> list[str]:
    """All tokens in lower case; quotes are `` and '', brackets -lrb- and the like."""
    tokens: list[str] = []
    line = f"{_LINE_ENDS.sub(' ', caption)}\nA "  # the next caption of a file: some full stops depend on how it begins
    at, end = 0, len(line) - 3
    while at < end:
        if word := _WORD_ALONE.match(line, at):
            tokens += _word_tokens(word[0])
            at = word.end()
            continue
        token, length = _longest_match(line, at)
        tokens += token
        at += length
    return tokens


_LINE_ENDS = re.compile(r"[\r\n\u2028\u2029\u000b\u000c\u0085]")
_WORD_ALONE = re.compile(
    r"[A-Za-z]{2,}+\.(?= *\n)"  # at the end of a caption; perhaps an abbreviation
    r"|[A-Za-z]++(?:(?:-[A-Za-z]++)*+|'s)(?=[ \n]|, )"
    r"|,(?= )|[.,](?= *\n)| +"
)
"""Words on which nothing around them has a say, most of all: each is taken apart once."""


@lru_cache(maxsize=2**15)
def _word_tokens(word: str) -> tuple[str, ...]:
    tokens: list[str] = []
    line, at = f"{word}\nA ", 0
    while at < len(word):
        token, length = _longest_match(line, at)
        tokens += token
        at += length
    return tuple(tokens)


REACH = 1000
"""Characters that rules look at for a token, unless it goes on beyond them: those that look for an @ or a hyphen would else read
an unbroken text to its end for every token."""


def _longest_match(line: str, at: int, reach: int = REACH) -> tuple[list[str], int]:
    """The token that begins at a place of the line, or none (a space, or what the original drops), and its length there."""
    longest, best, rule = 0, None, None
    for each in RULES:
        found = each.pattern.match(line, at, at + reach)
        if found and found.end() - at > longest:
            longest, best, rule = found.end() - at, found, each
    if longest == reach < len(line):
        return _longest_match(line, at, len(line))
    if best is None or rule is None:
        return [], 1
    token = best.group(best.lastindex or 0)[: rule.taken]
    written = rule.write(token) if rule.write else token
    return [written.replace("\u00ad", "").lower() or "-"], len(token)


# ---------------------------------------------------------------------------------------------------------- characters

_MARK = (
    "\u02c2-\u02c5\u02d2-\u02df\u02e5-\u02eb\u02ed\u02ef-\u036f\u0375\u0378\u0379\u0384\u0385\u03f6\u0483-\u0487\u055a-\u055f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0615-\u061a\u064b-\u065e\u0670\u06d6-\u06ed\u06fd\u06fe\u070f\u0711"
    "\u0730-\u074c\u07a6-\u07b0\u07eb-\u07f3\u0900-\u0903\u093c\u093e-\u094e\u0951-\u0955\u0962\u0963\u0981-\u0983\u09bc"
    "\u09be-\u09c4\u09c7\u09c8\u09cb-\u09cd\u09d7\u09e2\u09e3\u0a01-\u0a03\u0a3c\u0a3e-\u0a4f\u0a81-\u0a83\u0abc\u0abe-\u0acf"
    "\u0b82\u0bbe-\u0bc2\u0bc6-\u0bc8\u0bca-\u0bcd\u0c01-\u0c03\u0c3e-\u0c56\u0d3e-\u0d44\u0d46-\u0d48\u0e31\u0e34-\u0e3a"
    "\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd"
)
"""Accents and vowel signs that are parts of words, beside the letters."""
_SYMBOL = (
    "$%&*+;<=>\\\\^`|~\u00a1\u00a5-\u00a9\u00ac\u00ae-\u00b4\u00b6-\u00b9\u00bf\u00d7\u00f7\u037e\u0387\u0589\u05be\u05c0\u05c3"
    "\u05c6\u05f3\u05f4\u0600-\u0603\u0606-\u060c\u0614\u061b\u061e\u061f\u066a\u066d\u06d4\u0700-\u070d\u07f6-\u07f8\u0964"
    "\u0965\u0e3f\u0e4f\u1fbd\u2016\u2017\u201a\u201e-\u2023\u2030-\u2038\u203b\u203e-\u2042\u2070\u2074-\u207e\u2080-\u208e"
    "\u20a4\u2100\u2101\u2103-\u2106\u2108\u2109\u2114\u2116-\u2118\u211e-\u2123\u2125\u2127\u2129\u212e\u213a\u213b"
    "\u2140-\u2144\u214a-\u214d\u214f\u2155-\u215e\u2190-\u2bff\u3001\u3002\u3012\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40"
    "\uff5b-\uff65\uffe0\uffe1\uffe5\uffe6"
)
"""What is a token of its own; every other sign is dropped, emoji and all beyond the first 65,536 characters included."""

_NOT_LETTERS = (
    "\u00b2-\u00b3\u00b9\u00bc-\u00be\u037f\u0528-\u052f\u0560\u0588\u05ef\u0860-\u088e\u08a1\u08ad-\u08c9\u0978\u0980"
    "\u09f4-\u09fc\u0af9\u0b72-\u0b77\u0bf0-\u0bf2\u0c34\u0c5a-\u0c5d\u0c78-\u0c80\u0cdd\u0d04\u0d54-\u0d5f\u0d70-\u0d78"
    "\u0e86\u0e89\u0e8c\u0e8e-\u0e93\u0e98\u0ea0\u0ea8-\u0ea9\u0eac\u0f2a-\u0f33\u1369-\u137c\u13f5-\u13fd\u16ee-\u16f8"
    "\u170d\u171f\u17f0-\u17f9\u1878\u191d-\u191e\u19b0-\u19c0\u19c8-\u19c9\u19da\u1b4c\u1c80-\u1cbf\u1cf2-\u1cf3\u1cfa"
    "\u2070\u2074-\u2079\u2080-\u2089\u2150-\u2182\u2185-\u2793\u2c2f\u2c5f\u2cfd\u3007-\u3029\u3038-\u303a\u312e-\u312f"
    "\u3192-\u3195\u31bb-\u31bf\u3220-\u32bf\u4db6-\u4dbf\u9fcd-\u9fff\ua698-\ua69d\ua6e6-\ua6ef\ua78f\ua794-\ua79f"
    "\ua7ab-\ua7f7\ua830-\ua835\ua8fd-\ua8fe\ua9e0-\ua9fe\uaa7e-\uaa7f\uab30-\uabbf"
)
"""What Python takes for letters and the original drops: numerals, and letters that came into Unicode after it."""
_PARTS = {
    "AL": rf"(?:(?![{_NOT_LETTERS}])[^\W\d_\U00010000-\U0010ffff])",  # a letter of any alphabet
    "L": rf"(?:(?![{_NOT_LETTERS}])[^\W\d_\U00010000-\U0010ffff]|&[aeiouAEIOU](?:acute|grave|uml);|[\u00ad{_MARK}])",
    "S": "[ \t\u00a0\u2000-\u200a\u3000]",
    "SNL": "[ \t\u00a0\u2000-\u200a\u3000\n]",
    "APOS": r"(?:['\u0092\u2019]|(?i:&apos;))",
    "APOSETC": r"(?:['\u0092\u2019`\u0091\u2018\u201b]|&apos;)",
    "NUM": r"(?:\d*(?:[.:,\u00ad\u066b\u066c]\d+)+|\d+)",
    "AMP": r"(?:(?i:&amp;)|&)",
    "ACRO": r"[A-Za-z](?:\.[A-Za-z])+",
    "AUX": r"<APOS>(?:[msdMSD]|(?i:re|ve|ll))",
    "PIECE": r"(?:[dDoOlL]<APOSETC>(?:<AL>|\d))?(?:<AL>|\d)+",
    "THING": r"<PIECE>(?:[-_\u058a\u2010\u2011]<PIECE>)*",
    "WORD": r"<L>(?:<L>|\d)*(?:[.!?]<L>(?:<L>|\d)*)*",
}

# --------------------------------------------------------------------------------------------------------------- rules


class Rule(NamedTuple):
    """One kind of token."""

    pattern: re.Pattern[str]
    """What it looks like; where it has a group, the group is the token and the rest its trailing context."""
    write: Callable[[str], str] | None = None
    """How it is written, in lower case, where it does not stay as it is."""
    taken: int | None = None
    """Characters of the match that make the token, the rest of which is read again: `cannot` is `can` and `not`."""


def _rule(pattern: str, write: Callable[[str], str] | None = None, taken: int | None = None) -> Rule:
    for name in reversed(_PARTS):  # the later ones are made of earlier ones
        pattern = pattern.replace(f"<{name}>", _PARTS[name])
    return Rule(re.compile(pattern), write, taken)


def _always(text: str) -> Callable[[str], str]:
    return lambda token: text


def _brackets(token: str) -> str:
    return token.replace("(", "-lrb-").replace(")", "-rrb-")


def _one_piece(token: str) -> str:
    return _brackets(token.replace(" ", "\u00a0"))


def _straight(token: str) -> str:
    return re.sub("[`\u0091\u2018\u201b]", "`", re.sub("[\u0092\u2019]|(?i:&apos;)", "'", token))


def _double_quote(token: str) -> str:
    return "''" if token in ('"', "''", "&quot;") else token


def _ampersand(token: str) -> str:
    return re.sub("(?i:&amp;)", "&", token)


def _dashes(token: str) -> str:
    return "--" if 3 <= len(token) <= 4 else token


_FRACTIONS = {"\u00bc": "1/4", "\u00bd": "1/2", "\u00be": "3/4", "\u2153": "1/3", "\u2154": "2/3"}

_SENTENCE_ENDERS = (
    r"(?:(?i:al|ala|apr|ariz|assn|aug|az|bancorp|bhd|bldg|blvd|bros|calif|colo|conn|corp|cos?|ct|dak|dec|esq|est|etc|ext|feb"
    r"|fla|fri|ga|inc|ind|intl|jan|jr|jul|jun|kans?|ky|ltd|mar|md|mich|minn|mo|mon|mont|neb|nev|nov|oct|okla|penn|plc|rd|rt|sept?"
    r"|seq|sq|sr|sys|tel|tenn|thu|thurs|tues?|univ|va|vt|wed|wisc?|wyo|ph\.d|ed\.d)|A(?i:rk|z)|D(?i:el)|I(?i:ll)|L(?i:a)"
    r"|M(?i:ass|iss)|O(?i:re)|P(?i:a)|T(?i:ex)|W(?i:ash)|[Pp]{1,2}t[ye]s?)"
)
"""Abbreviations that may also end a sentence."""
_ABBREVIATIONS = (
    r"(?:(?i:adj|adm|adv|alex|assoc|asst|attys?|ave|brig|capt|cf|cie|co?mdr|col|cpl|dept|det|drs?|elec|ens|ft|gen|govs?|hon|insp"
    r"|invt|jos|lieut|lt|maj|messrs|mlle|mme|mrs?|ms|msgr|mt|natl|pfc|ph|pres|profs?|pvt|reps?|rev|sens?|sfc|sgt|spc|ste?|supts?"
    r"|treas|vs|wm|(?:canada|sino|korean|eu|japan|non)-u\.s|u\.s\.-u\.k|u\.s\.-u\.s\.s\.r)|[Mm](?:[ft])[Gg]|<ACRO>|[A-Za-z])"
)
"""Abbreviations before more words, and initials."""

_SENTENCE_STARTS = (
    r"(?:A(?i:|bout|ccording|dditionally|fter|n|s|t)|B(?i:ut)|E(?i:arlier)|H(?i:er?e?|owever)|I(?i:[fnt])|L(?i:ast)|M(?i:any|ore|[rs]\.)"
    r"|N(?i:ow)|O(?i:nce|ne|ther|ur)|S(?i:he|ince|o|ome|uch)|T(?i:hat|he|heir|hen|here|hese|hey|his)|W(?i:e|hat|hen|hile)"
    r"|Y(?i:et|ou))"
)
"""Words before which an initial's full stop ends a sentence: "vitamin C. The bowl" beside "J. K. Rowling"."""

_QUOTES = (
    dict.fromkeys(map(ord, "\u0091\u2018\u201b\u2039"), "`")
    | dict.fromkeys(map(ord, "\u0092\u2019\u203a"), "'")
    | dict.fromkeys(map(ord, "\u0093\u201c\u00ab"), "``")
    | dict.fromkeys(map(ord, "\u0094\u201d\u00bb"), "''")
)

RULES = [
    _rule(r"(?i:cannot)", taken=3),
    _rule(r"(?i:gonna|gotta|lemme|gimme|wanna)", taken=3),
    _rule(r"(?i:<APOS>(?:tis|twas))", taken=2),
    _rule(
        r"<(?:[!?][A-Za-z-][^>\n]*|/[A-Za-z][A-Za-z0-9_:.-]* *|[A-Za-z][A-Za-z0-9_:.-]*"
        r"(?: +[A-Za-z][A-Za-z0-9_:.-]*(?: *= *(?:'[^'\n]*'|\"[^\"\n]*\"|[A-Za-z][A-Za-z0-9_:.-]*))?)* */? *)>",
        _one_piece,
    ),
    _rule(r"(?i:&(?:MD|mdash|ndash);)|[\u0096\u0097\u2013\u2014\u2015]", _always("--")),
    _rule(r"(?i:&amp;)", _ampersand),
    _rule(r"(?i:&lt;)", _always("<")),
    _rule(r"(?i:&gt;)", _always(">")),
    _rule(r"(<WORD>)<AUX>"),
    _rule(r"([A-Za-z\u00ad]*[A-MO-Za-mo-z]\u00ad*)[nN]<APOSETC>[tT]"),
    _rule(r"<WORD>"),
    _rule(
        r"(?i:<APOS>n<APOS>?|<APOS>em|<APOS>till?|<APOS>cause|dunkin<APOS>|somethin<APOS>|ol<APOS>|o<APOS>clock|cont<APOS>d\.?"
        r"|nor<APOS>easter|c<APOS>mon|c<APOS>est|e<APOS>er|s<APOS>mores|ev<APOS>ry|li<APOS>l|nat<APOS>l|cap<APOS>n)|<APOS>[2-9]0[sS]"
    ),
    _rule(r"(?i:[ldj]<APOS>)"),
    _rule(r"[A-HJ-XZn]<APOSETC><AL>{2,}"),  # N'Djamena
    _rule(r"<AL>+[aeiouyAEIOUY]<APOSETC>[aeiouA-Z]<AL>*"),  # Hawai'i
    _rule(r"([yY]<APOS>)<AL>"),
    _rule(r"(?i:https?)://[^ \t\n\f\r\"<>|(){}]+[^ \t\n\f\r\"<>|.!?(){},-]"),
    _rule(
        r"(?:www\.(?:[^ \t\n\f\r\"<>|.!?(){},]+\.)+[a-zA-Z]{2,4}|(?:[^ \t\n\f\r\"`'<>|.!?(){},-_$]+\.)+(?i:com|net|org|edu))"
        r"(?:/[^ \t\n\f\r\"<>|(){}]+[^ \t\n\f\r\"<>|.!?(){},-])?"
    ),
    _rule(
        r"<?[a-zA-Z0-9][^ \t\n\f\r\"<>|()\u00a0{}]*@(?:[^ \t\n\f\r\"<>|(){}.\u00a0]+\.)*"
        r"[^ \t\n\f\r\"<>|().\u00a0{}]+>?"
    ),
    _rule(r"@[A-Za-z_][A-Za-z0-9_]*|#<AL>+"),
    _rule(r"(<AUX>)(?:[^A-Za-z]|$)", _straight),
    _rule(r"([nN]<APOSETC>[tT])(?:[^A-Za-z]|$)", _straight),
    _rule(r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}"),
    _rule(r"[-+]?<NUM>"),
    _rule(r"[\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+)"),
    _rule(r"(?:\d{1,4}[- \u00a0])?\d{1,4}(?:\\?/|\u2044)\d{1,4}", _one_piece),
    _rule(r"[\u00bc-\u00be\u2153-\u215e]", lambda token: _FRACTIONS.get(token, token)),
    _rule(r"(?i:-(?:RRB|LRB|RCB|LCB|RSB|LSB)-|C\.D\.s|pro-|anti-|S<AMP>P-500|S<AMP>Ls)", _ampersand),
    _rule(r"(<APOS>[0-9][0-9])<SNL>"),
    _rule(r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}"),
    _rule(rf"({_SENTENCE_ENDERS}\.)[^\x00]{{2}}"),
    _rule(rf"([A-Za-z])\.<SNL>+{_SENTENCE_STARTS}<SNL>"),
    _rule(rf"{_ABBREVIATIONS}\."),
    _rule(r"((?i:art|ca|figs?|nos?|op|pp|prop)\.)<SNL>?\d"),
    _rule(r"((?:<WORD>|<THING>)\.)[,;:\u3001]"),
    _rule(r"[A-Z]*\$|#"),
    _rule(r"[\u00a2]", _always("cents")),
    _rule(r"[\u00a3]", _always("#")),
    _rule(r"[\u0080\u00a4\u20a0\u20ac]", _always("$")),
    _rule(
        r"(?:<L>|\d)+(?:[-._](?:<L>|\d)+)*\.(?i:bat|bmp|c|class|cgi|cpp|dll|doc|docx|exe|gif|gz|h|htm|html|jar|java"
        r"|jpeg|jpg|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|txt|wav|x|xml|zip|wgz)(?=<SNL>|[.?!,])"
    ),
    _rule(r"<THING>"),
    _rule(r"[A-Z]+(?:(?:[+]|<AMP>)[A-Z]+)+", _ampersand),
    _rule(r"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*(?:-(?:<ACRO>\.|[A-Za-z0-9\u00ad]+))+"),
    _rule(
        r"\([0-9]{2,3}\)[ \u00a0]?[0-9]{3,4}[- \u00a0]?[0-9]{3,5}"
        r"|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0][0-9]{3,4}[- \u00a0]?[0-9]{3,5}"
        r"|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}",
        _one_piece,
    ),
    _rule(r"([<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])(?:[^A-Za-z0-9]|$)", _brackets),
    _rule(r"[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)", _brackets),
    _rule(r"(?i:c\+\+|[cf]#)"),
    _rule(r"\(", _always("-lrb-")),
    _rule(r"\)", _always("-rrb-")),
    _rule(r"\[", _always("-lsb-")),
    _rule(r"\]", _always("-rsb-")),
    _rule(r"\{", _always("-lcb-")),
    _rule(r"\}", _always("-rcb-")),
    _rule(r"-+", _dashes),
    _rule(r"\.{3,5}|(?:\.[ \u00a0]){2,4}\.|[\u0085\u2026]", _always("...")),
    _rule(r"@+|#+|_+|\*+|(?:\\\*){1,3}"),
    _rule(r"[,;:\u3001]"),
    _rule(r"[?!]+"),
    _rule(r"(['`\u2018\u0091])[A-Za-z][^ \t\n\r\u00a0]", _always("`")),
    _rule(r"<AUX>", _straight),
    _rule(r"(\"|&quot;)[A-Za-z0-9$]", _always("``")),
    _rule(r"\"|(?i:&quot;)|''", _double_quote),
    _rule(r"'|``|[`\u2018\u2019\u201a-\u201f\u0091-\u0094\u2039\u203a\u00ab\u00bb]{1,2}", lambda token: token.translate(_QUOTES)),
    _rule(r"[./]|<<|>>"),
    _rule(rf"[{_SYMBOL}]"),
]
