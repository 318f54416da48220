"""Turn predicted probabilities into scores with intervals and tests.

Nothing in this room knows about networks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibration": ["brier_score", "calibration_scores", "reliability"],
        "comparisons": ["comparisons"],
        "intervals": ["intervals", "scores_with_intervals"],
        "metrics": ["classification_report", "confusion", "curve_summary", "scores"],
        "published": ["published_supports", "read_published"],
        "runs": ["Run", "choose_run", "planned_runs", "settings_that_differ"],
        "tables": ["evaluation_tables"],
    },
)
