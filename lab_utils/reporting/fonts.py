"""Fonts from pip packages, so that a page looks the same on every machine."""

import base64
import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lab_utils.core.errors import LabError
from lab_utils.core.paths import INSTALL

# zhplot and koreanize-matplotlib are there for their fonts alone, and never imported.
PLACES = {
    "matplotlib": "mpl-data/fonts/ttf",  # STIX, DejaVu (Greek, Cyrillic, Arabic, Hebrew) and the last resort
    "zhplot": "fonts",  # Noto Sans SC: Chinese and kana
    "koreanize_matplotlib": "fonts",
    "manimgx_fonts": "",  # Noto Sans of further scripts, and Noto Emoji without colours
}
SCRIPTS = (
    "Devanagari", "Bengali", "Gujarati", "Gurmukhi", "Kannada", "Malayalam", "Oriya", "Sinhala", "Tamil", "Telugu",
    "Thai", "Lao", "Khmer", "Myanmar", "Armenian", "Georgian", "Ethiopic", "Symbols",
)  # fmt: skip
FACES = ("mplhep_data", "fonts")  # package and folder of the faces of figures and pages
FIGURE_FACES = "latinmodernroman/lmroman10-*.otf"  # what New Computer Modern, the face of the PDF, is made from
# In the order in which a glyph is looked for; the last has a box for every character, which names its script.
FAMILIES = (
    "LM Roman 10",
    "STIXGeneral",
    "DejaVu Sans",
    "Noto Sans SC",
    "NanumGothic",
    *(f"Noto Sans {script}" for script in SCRIPTS),
    "Noto Emoji",
    "Last Resort High-Efficiency",
)
WEB_FONT = "Lab Scripts"  # the name that article.css gives to the embedded glyphs
WEB_FILES = (  # in the order in which a glyph is looked for
    "DejaVuSans.ttf",
    "NotoSansSC-Regular.ttf",
    "NanumGothic.ttf",
    *(f"NotoSans{script}[wght].ttf" for script in SCRIPTS),
    "NotoEmoji[wght].ttf",
)
PAGE_FACES = (  # of article.css: family, weight, style and file
    ("Lab Text", 400, "normal", "texgyretermes/texgyretermes-regular.otf"),
    ("Lab Text", 400, "italic", "texgyretermes/texgyretermes-italic.otf"),
    ("Lab Text", 700, "normal", "texgyretermes/texgyretermes-bold.otf"),
    ("Lab Sans", 400, "normal", "firasans/FiraSans-Regular.ttf"),
    ("Lab Sans", 700, "normal", "firasans/FiraSans-Bold.ttf"),
)
# What these faces embed: Latin with its accents, punctuation, arrows and signs.
LATIN = frozenset([*range(0x20, 0x7F), *range(0xA0, 0x100), *range(0x2010, 0x2027), 0x2032, *range(0x2190, 0x2194)])
LATIN |= {0x2039, 0x203A, 0x20AC, 0x2212, 0x2260, 0x2264, 0x2265}
JOINERS = {0x200C, 0x200D, 0x25CC}  # what the letters of many scripts are shaped with
DROPPED = ["fvar", "gvar", "avar", "HVAR", "MVAR", "STAT"]  # without these tables a font has its normal weight
DROPPED += ["FFTM", "TSI0", "TSI1", "TSI2", "TSI3", "TSI5"]  # notes of the editors that made the fonts


def folders() -> list[Path]:
    """The folders of the fonts of further scripts; no package is imported."""
    return [_folder(package, place) for package, place in PLACES.items()]


def figure_fonts() -> list[Path]:
    """The font files that figures are set in."""
    return [*_folder(*FACES).glob(FIGURE_FACES), *(path for folder in folders() for path in folder.glob("*.ttf"))]


def _folder(package: str, place: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LabError(f"the package {package} is not installed; {INSTALL}")
    return Path(spec.submodule_search_locations[0]) / place


def web_fonts(text: str) -> str:
    """Return CSS that embeds the faces of a page, and its glyphs of other scripts."""
    rules = [_page_faces()]
    wanted = {ord(sign) for sign in text if 0x530 <= ord(sign) < 0x1E00 or ord(sign) >= 0x2600}
    paths = {path.name: path for folder in folders() for path in folder.glob("*.ttf")}
    for name in WEB_FILES:
        if not wanted:
            break
        covered, data = _subset(paths[name], frozenset(wanted))
        if covered:
            signs = ",".join(f"U+{sign:X}" for sign in sorted(covered | JOINERS))
            rules.append(_rule(WEB_FONT, 400, "normal", data, f";unicode-range:{signs}"))
        wanted -= covered
    return "".join(rules)


@cache
def _page_faces() -> str:
    folder = _folder(*FACES)
    return "".join(
        _rule(family, weight, style, _subset(folder / file, LATIN)[1]) for family, weight, style, file in PAGE_FACES
    )


def _rule(family: str, weight: int, style: str, data: str, more: str = "") -> str:
    source = f"url(data:font/woff;base64,{data}) format('woff')"
    return f'@font-face{{font-family:"{family}";font-weight:{weight};font-style:{style};src:{source}{more}}}'


def _subset(path: Path, wanted: frozenset[int]) -> tuple[set[int], str]:
    """Return the wanted characters that a font has, and a font of these alone as WOFF in base64."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    with TTFont(path, lazy=True) as font:
        covered = wanted & font.getBestCmap().keys()
        if not covered:
            return set(), ""
        subsetter = Subsetter(Options(flavor="woff", hinting=False, drop_tables=[*Options().drop_tables, *DROPPED]))
        subsetter.populate(unicodes=covered | JOINERS)
        subsetter.subset(font)
        font.flavor, file = "woff", io.BytesIO()
        font.save(file)
    return set(covered), base64.b64encode(file.getvalue()).decode()
