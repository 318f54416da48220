"""The command predict: what it prints, what it writes, and what it says of mistakes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

from lab_utils.pipeline.command import main
from tests.conftest import PROJECT, files_in

NO_DEVICE = "Not a medical device: a teaching exercise, not for diagnosis."


def test_images_are_predicted_by_one_command(finished: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, config = finished
    before = files_in(workspace)
    image = next((workspace / "raw" / "files").rglob("images/*.png"))
    (tmp_path / "-new 'images'").mkdir()
    for name in ("a\n<b>.png", 'it\'s "c".png'):
        shutil.copy(image, tmp_path / "-new 'images'" / name)
    (tmp_path / "-new 'images'" / "d.png").write_bytes(b"GIF89a")
    words = ["predict", f"--workspace={workspace}", f"--config={config}", "--run=", "--", "-new 'images'"]
    command = [sys.executable, "-m", "lab_utils", *words]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    (folder,) = (workspace / "predictions").iterdir()
    table, page, notebook = folder / "predictions.csv", folder / "predictions.html", folder / "50_predict.ipynb"
    content = nbformat.read(notebook, 4)
    after = files_in(workspace)
    shutil.rmtree(workspace / "predictions")
    assert "\nNo run was named: under protocol described, " in said
    assert "predicted 2 images, called 0 images unusual, and could not read 1 file." in said
    assert f"Page: {page}\nTable: {table}\n{NO_DEVICE}\n" in said
    assert "features: 100%" in said
    assert "Executing" not in said
    assert {path.name for path in set(after) - set(before) if path.is_relative_to(folder)} == {
        *(path.name for path in (table, page, notebook)),
        ".predictions.csv.sha256",
        ".predictions.html.sha256",
    }
    assert {path: after[path] for path in before} == before
    shown = [out for cell in content.cells for out in cell.get("outputs", []) if "data" in out]
    texts = "\n".join(out.data.get("text/plain", "") for out in shown)
    assert "could not read 1 file" in texts
    assert "Not a medical device" in "\n".join(out.data.get("text/markdown", "") for out in shown)
    assert any(out.get("metadata", {}).get("label") == "fig-predicted" for out in shown)


def test_mistakes_are_named_before_a_kernel_starts(finished: tuple[Path, Path], capsys: Any) -> None:
    workspace, config = finished
    given = [f"--workspace={workspace}", f"--config={config}"]
    for words, reason in (
        (["--run=described/fc_onyl/seed-0"], "no run 'described/fc_onyl/seed-0': choose one of "),
        (["/nowhere/x.png"], "/nowhere/x.png: no such file or folder; images are the path of an image, a folder"),
        ([os.fsdecode(b"a\xff.png")], "'a\\udcff.png': expected a name in UTF-8; rename it"),
    ):
        assert main(["predict", *given, *words]) == 1
        said = capsys.readouterr().out
        assert "failed after 0 s" in said
        assert reason in said
    assert not (workspace / "predictions").exists()
