"""A font that has the characters of a text, found on this machine; so that no reader is shown boxes for words."""

from __future__ import annotations

import os
import sys
import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont, features

from showtell.errors import Problem

Font = ImageFont.FreeTypeFont

_PREFERRED = ("notosans", "dejavusans", "pingfang", "msyh", "segoeui", "arialunicode", "arial", "geezapro", "liberationsans")
_AVOIDED = ("bold", "italic", "oblique", "mono", "condensed", "light", "thin", "black", "medium", "serif", "ui", "emoji")


def find_font(text: str, size: int, company: str = "", file: str | os.PathLike[str] | None = None) -> Font:
    """A font with a glyph for every character of a text: the given file, Pillow's own, or one of this machine's.

    Args:
        text: what it shall draw.
        size: in pixels.
        company: what is drawn beside it, and should look the same where one font has all.
        file: the only font file to try.

    Raises:
        Problem: there is none, or right-to-left words cannot be laid out; the sentence says what to install.
    """
    if needs_layout(text) and not features.check("raqm"):
        raise Problem(
            "Right-to-left words cannot be drawn without FriBiDi: apt install libfribidi0 (macOS: brew install fribidi)."
        )
    only = None if file is None else os.fspath(file)
    found = _file_for(_characters(text + company), only)
    if found is None:
        found = _file_for(_characters(text), only)
    if found is None:
        raise Problem(_what_to_install(_characters(text), only))
    return _load(found, size)


def _characters(text: str) -> frozenset[str]:
    return frozenset(c for c in text if not c.isspace() and unicodedata.category(c) not in ("Cf", "Mn", "Me"))


def needs_layout(text: str) -> bool:
    """Whether a text is written from right to left."""
    return any(unicodedata.bidirectional(c) in ("R", "AL") for c in text)


@lru_cache(maxsize=1024)
def _file_for(needed: frozenset[str], only: str | None) -> str | None:
    """The first font file that has all these characters; "" is Pillow's own, None that there is none."""
    for candidate in [only] if only is not None else ["", *_installed()]:
        try:
            if _has(_load(candidate, 16), needed):
                return candidate
        except OSError as error:  # not a font, or of a kind that FreeType cannot open
            if only is not None:
                raise Problem(f"The font {only} cannot be opened ({error}); give another one.") from error
    return None


def _load(file: str, size: int) -> Font:
    if file:
        return ImageFont.truetype(file, size)
    font = ImageFont.load_default(size)
    if not isinstance(font, Font):
        raise Problem("This Pillow was built without FreeType and cannot draw words: pip install --force-reinstall pillow.")
    return font


def _has(font: Font, characters: frozenset[str]) -> bool:
    """Whether none of them is drawn as the font draws U+FFFE, which no font has."""
    missing = _drawn(font, "\ufffe")
    return all(_drawn(font, character) != missing for character in characters)


def _drawn(font: Font, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    """The machine's font files, plain sans-serif ones first."""
    home = Path.home()
    if sys.platform == "win32":
        folders = [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts", home / "AppData/Local/Microsoft/Windows/Fonts"]
    elif sys.platform == "darwin":
        folders = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    else:
        shares = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        folders = [home / ".fonts", home / ".local/share/fonts", *(Path(share) / "fonts" for share in shares.split(":"))]
    files = (file for folder in folders for file in folder.rglob("*") if file.suffix.lower() in (".ttf", ".otf", ".ttc"))
    return tuple(str(file) for file in sorted(files, key=_how_far_from_plain))


def _how_far_from_plain(file: Path) -> tuple[int, int, str]:
    name = file.stem.lower().replace("-", "").replace(" ", "")
    preferred = next((i for i, start in enumerate(_PREFERRED) if name.startswith(start)), len(_PREFERRED))
    return sum(word in name for word in _AVOIDED), preferred, name


def _what_to_install(needed: frozenset[str], only: str | None) -> str:
    scripts = {unicodedata.name(character, "?").split()[0] for character in needed}
    package = "fonts-noto-core"
    if scripts & {"CJK", "HIRAGANA", "KATAKANA", "HANGUL"}:
        package = "fonts-noto-cjk"
    elif scripts <= {"LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW", "DIGIT", "FULL"}:
        package = "fonts-dejavu-core"
    unusual = "".join(sorted(c for c in needed if not c.isascii())[:6])
    where = f"The font {only} lacks" if only else "No font on this machine has"
    return f"{where} all characters of these words ({unusual}): install one that has (Debian, Ubuntu: apt install {package})."
