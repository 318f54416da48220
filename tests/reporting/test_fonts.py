import io
import re
from base64 import b64decode

import pytest
from fontTools.ttLib import TTFont
from matplotlib.font_manager import FontProperties, findfont

from lab_utils.reporting import fonts
from lab_utils.reporting.style import use_style


def test_every_family_is_in_the_packages() -> None:
    use_style()
    files = {str(path) for path in fonts.figure_fonts()}
    for family in fonts.FAMILIES:
        found = findfont(FontProperties(family=[family]), fallback_to_default=False)
        assert any(found == file for file in files), family


@pytest.mark.parametrize("text", ["फेफड़ों", "صورة", "肺炎", "결핵", "ปอด", "\N{LUNGS}"])
def test_a_page_brings_the_glyphs_of_other_scripts(text: str) -> None:
    *faces, data = re.findall(r"base64,([^)]+)\)", fonts.web_fonts(f"Lungs, Лёгкие, {text}"))
    assert len(faces) == len(fonts.PAGE_FACES)
    font = TTFont(io.BytesIO(b64decode(data)))
    assert {ord(sign) for sign in text} <= font.getBestCmap().keys()
    assert ord("L") not in font.getBestCmap()
    assert len(data) < 20_000


def test_latin_is_in_the_page_s_faces_and_greek_and_cyrillic_need_no_others() -> None:
    css = fonts.web_fonts("Pneumonia, πνευμονία, пневмония: 94.5 % × − – …")
    assert css == fonts.web_fonts("")
    for data in re.findall(r"base64,([^)]+)\)", css):
        assert {ord(sign) for sign in "Pé: 94.5 % × − – … ≥ ↑"} <= TTFont(
            io.BytesIO(b64decode(data))
        ).getBestCmap().keys()
    assert len(css) < 150_000
