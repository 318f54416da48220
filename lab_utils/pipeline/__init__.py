"""Run stage notebooks, decide which stages run again, and print the progress of a run.

The Snakefile uses this room; the code that computes results does not.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "code_digest": ["stage_digest"],
        "command": ["main"],
        "environment": ["stage_environment"],
        "parameters": ["check_by_hand", "check_values"],
        "planning": ["discard_altered", "lock", "open_setup"],
        "runner": ["run_notebook"],
        "terminal": ["take_over"],
    },
)
