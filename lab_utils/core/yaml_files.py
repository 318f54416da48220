"""YAML files of keys and values."""

from pathlib import Path
from typing import Any

import yaml

from lab_utils.core.errors import LabError


class _Loader(yaml.SafeLoader):
    """YAML without the trap that the first of two equal keys is ignored in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]!r} appears twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of keys and values; refuse a damaged one, or a key given twice."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise LabError(f"{path}: no such experiment file; copy lab.yaml and edit it") from None
    except IsADirectoryError:
        raise LabError(f"{path}: is a folder; expected an experiment file, such as lab.yaml") from None
    except UnicodeDecodeError as error:
        raise LabError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise LabError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise LabError(f"{path}: expected keys and values as in lab.yaml, found {type(content).__name__}")
    return content
