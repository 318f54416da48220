from importlib import metadata
from pathlib import Path

import pytest

from lab_utils.core.files import read_json, write_json
from lab_utils.core.provenance import provenance


def test_provenance_can_be_written(tmp_path: Path) -> None:
    record = provenance()
    write_json(tmp_path / "r.json", record)
    assert read_json(tmp_path / "r.json", stage="x") == record
    assert record["versions"]["tensorflow"].startswith("2.21")
    assert record["cpus"] >= 1


@pytest.mark.parametrize(
    ("answer", "commit"),
    [
        ("echo 0123+", "0123+"),
        ("echo 'fatal: not a git repository' >&2; exit 128", "unknown (outside a git repository)"),
        (
            "echo 'fatal: detected dubious ownership in repository' >&2; exit 128",
            "unknown (git does not trust a repository of another user)",
        ),
        ("echo 'fatal: unable to read tree' >&2; exit 128", "unknown (git failed)"),
        (None, "unknown (git is not installed)"),
    ],
)
def test_an_unknown_commit_has_its_true_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str | None, commit: str
) -> None:
    if answer:
        (tmp_path / "git").write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance()["commit"] == commit


def test_a_clone_that_nobody_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert provenance()["versions"]["lab-utils"] == "not installed"
