"""The lab's helper package: ``open_lab`` opens a workspace, each room has one task."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"lab": ["Lab", "open_lab"]})
