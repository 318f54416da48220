"""Fonts from pip packages, so that a page looks the same on every machine."""

import base64
import io
from importlib.util import find_spec
from pathlib import Path

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
# In the order in which a glyph is looked for; the last has a box for every character, which names its script.
FAMILIES = (
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
JOINERS = {0x200C, 0x200D, 0x25CC}  # what the letters of many scripts are shaped with
DROPPED = ["fvar", "gvar", "avar", "HVAR", "MVAR", "STAT"]  # without these tables a font has its normal weight
DROPPED += ["FFTM", "TSI0", "TSI1", "TSI2", "TSI3", "TSI5"]  # notes of the editors that made the fonts


def folders() -> list[Path]:
    """The folders of those fonts. The packages are found without being imported."""
    found = []
    for package, place in PLACES.items():
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            found.append(Path(spec.submodule_search_locations[0]) / place)
    return found


def web_fonts(text: str) -> str:
    """Return CSS that embeds the glyphs of a page.

    Those of Latin, Greek and Cyrillic are left out, because every machine has them.
    """
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    wanted = {ord(sign) for sign in text if 0x530 <= ord(sign) < 0x1E00 or ord(sign) >= 0x2600}
    paths = {path.name: path for folder in folders() for path in folder.glob("*.ttf")}
    rules = []
    for name in WEB_FILES:
        if not wanted:
            break
        with TTFont(paths[name], lazy=True) as font:
            covered = wanted & font.getBestCmap().keys()
            if covered:
                options = Options(flavor="woff", drop_tables=[*Options().drop_tables, *DROPPED])
                subsetter = Subsetter(options)
                subsetter.populate(unicodes=covered | JOINERS)
                subsetter.subset(font)
                font.flavor, file = "woff", io.BytesIO()
                font.save(file)
                signs = ",".join(f"U+{sign:X}" for sign in sorted(covered | JOINERS))
                data = base64.b64encode(file.getvalue()).decode()
                source = f"url(data:font/woff;base64,{data}) format('woff')"
                rules.append(f'@font-face{{font-family:"{WEB_FONT}";src:{source};unicode-range:{signs}}}')
        wanted -= covered
    return "".join(rules)
