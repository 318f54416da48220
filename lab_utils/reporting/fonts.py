"""Fonts from pip packages, so that a page looks the same on every machine."""

from importlib.util import find_spec
from pathlib import Path

# matplotlib brings STIX, DejaVu (Greek, Cyrillic, Arabic) and the last resort; zhplot is there for its copy of
# Noto Sans SC (Chinese, kana) alone.
PLACES = {"matplotlib": "mpl-data/fonts/ttf", "zhplot": "fonts"}
# In the order in which a glyph is looked for; the last has a box for every character, which names its script.
FAMILIES = ("STIXGeneral", "DejaVu Sans", "Noto Sans SC", "Last Resort High-Efficiency")


def folders() -> list[Path]:
    """The folders of those fonts. The packages are found without being imported."""
    found = []
    for package, place in PLACES.items():
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            found.append(Path(spec.submodule_search_locations[0]) / place)
    return found
