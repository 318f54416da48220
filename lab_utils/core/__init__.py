"""The experiment and its files: settings, places, tables, checksums, errors.

Nothing here knows about images or models, and nothing imports TensorFlow.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "catalogue": ["read_table", "write_table"],
        "config": ["Experiment", "Protocol", "Scenario", "load_experiment"],
        "errors": ["LabError"],
        "paths": ["Workspace"],
        "progress": ["Stopwatch"],
    },
)
