"""The lab's helper package: ``open_lab`` opens a workspace, each room has one task."""

import sys

try:
    import lazy_loader
except ModuleNotFoundError:
    MESSAGE = f"{sys.executable} lacks the packages of the lab: in the clone, run `make`, or `pip install -e .`"
    raise SystemExit(MESSAGE) if sys.argv[0] == "-m" else ImportError(MESSAGE) from None

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"lab": ["Lab", "open_lab"]})
