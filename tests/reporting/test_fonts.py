from lab_utils.reporting import fonts


def test_every_family_is_in_the_packages() -> None:
    files = {path.name for folder in fonts.folders() for path in folder.glob("*.ttf")}
    assert {"STIXGeneral.ttf", "DejaVuSans.ttf", "NotoSansSC-Regular.ttf", "LastResortHE-Regular.ttf"} <= files
