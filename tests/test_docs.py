"""The documentation keeps its promises: length, links, commands, citation, workflow."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from lab_utils.core.catalogue import catalogue
from lab_utils.core.config import Experiment, Protocol, Scenario, load_experiment
from tests.conftest import PROJECT

README = PROJECT / "README.md"
PAGES = [README, PROJECT / "CONTRIBUTING.md", PROJECT / "bench" / "README.md", *sorted(PROJECT.glob("docs/*.md"))]
NOTEBOOKS = sorted([*PROJECT.glob("notebooks/*.ipynb"), *PROJECT.glob("report/*.ipynb")])
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
WORDS = 900
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^ *(?:\$ )?make ((?:[A-Za-z_.=/-]+ ?)+)", re.MULTILINE)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def loaded(path: Path) -> Any:
    return yaml.safe_load(read(path))


def commands(page: Path) -> list[list[str]]:
    """The words behind `make` of every command in a page's code blocks and code spans."""
    text = read(page)
    code = [*FENCE.findall(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]
    return [words.split() for piece in code for words in COMMAND.findall(piece)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", read(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_has_at_most_900_words() -> None:
    assert len(read(README).split()) <= WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    lost = []
    for target in LINK.findall(FENCE.sub("", read(page))):
        path, _, heading = unquote(target).partition("#")
        if "://" in target:
            continue
        aim = page.parent / path if path else page
        if not aim.exists() or (heading and heading not in anchors(aim)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_command_and_option_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    options = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.MULTILINE)) | {"KERAS_HOME"}
    for target, *given in commands(page):
        assert target in targets
        assert {word.partition("=")[0] for word in given if "=" in word} <= options, target


def test_the_first_command_of_the_readme_is_report() -> None:
    assert commands(README)[0] == ["report"]


def test_the_readme_says_what_the_lab_is_not() -> None:
    assert "Not a medical device" in read(README)


def test_the_readme_names_the_scenarios_as_the_report_does() -> None:
    for scenario in load_experiment().chosen_scenarios():
        assert f"| {scenario.label} |" in read(README)


def test_settings_that_the_readme_names_exist() -> None:
    rows = re.findall(r"^\| (?:add|change|compare|plant|use)[^|]*\| (.*) \|$", read(README), re.MULTILINE)
    known = {
        field.alias or name for model in (Experiment, Protocol, Scenario) for name, field in model.model_fields.items()
    }
    names = {name.split(":")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert {"run", "scenarios", "faults", "trainable_convs"} <= names <= known


def test_files_that_the_texts_name_exist() -> None:
    folders = "bench|docs|lab_utils|notebooks|profiles|report|tests"
    for page in PAGES:
        for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", read(page)):
            assert (PROJECT / name).exists(), f"{page.name}: {name}"


def test_tables_that_the_texts_name_are_in_the_catalogue() -> None:
    files = {table.path.rpartition("/")[2] for table in catalogue().values()}
    for page in PAGES:
        assert set(re.findall(r"`(\w+\.csv)`", read(page))) <= files | {"images.csv"}, page


def test_python_in_the_texts_is_valid() -> None:
    for page in PAGES:
        for code in re.findall(r"^```python\n(.*?)^```", read(page), re.MULTILINE | re.DOTALL):
            compile(code, str(page), "exec")


def test_the_citation_is_that_of_the_package() -> None:
    citation = loaded(PROJECT / "CITATION.cff")
    project = tomllib.loads(read(PROJECT / "pyproject.toml"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "type", "authors", "references"} <= set(citation)
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference)
    assert {"report", "data"} <= {reference["type"] for reference in citation["references"]}


def test_the_write_up_is_cited_as_the_report_cites_it() -> None:
    source = loaded(PROJECT / "report" / "published.yaml")["source"]
    (report,) = (entry for entry in loaded(PROJECT / "CITATION.cff")["references"] if entry["type"] == "report")
    assert report["title"] in source
    assert str(report["year"]) in source
    assert report["authors"][0]["family-names"] in source


def test_the_licence_is_in_the_package() -> None:
    project = tomllib.loads(read(PROJECT / "pyproject.toml"))["project"]
    (name,) = project["license-files"]
    assert "MIT License" in read(PROJECT / name)
    assert "the authors of this project" in read(PROJECT / name)


def test_the_workflow_runs_the_tests_on_every_python_and_keeps_the_report() -> None:
    workflow = loaded(PROJECT / ".github" / "workflows" / "ci.yml")
    assert {"name", "permissions", "jobs"} <= set(workflow)
    assert {"push", "pull_request"} <= set(workflow[True])  # YAML 1.1 reads `on` as true
    jobs = workflow["jobs"]
    scripts = {
        name: [step["run"].split("  #")[0] for step in job["steps"] if "run" in step] for name, job in jobs.items()
    }
    assert ".ci/run" in scripts["tests"]
    assert "make report" in scripts["report"]
    for job in jobs.values():
        assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
        assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)
    upload = next(step for step in jobs["report"]["steps"] if "upload-artifact" in step.get("uses", ""))
    assert upload["with"]["path"].split() == ["workspace/report/*.html", "workspace/report/*.pdf"]


def test_continuous_integration_runs_commands_that_exist() -> None:
    script = PROJECT / ".ci" / "run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o100
    assert re.findall(r"^make ([a-z-]+)$", read(script), re.MULTILINE) == ["test", "test-slurm"]
