"""Make figures, tables and texts, the same in notebooks and report.

Nothing here computes a result.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["figures", "tables"],
    submod_attrs={
        "exhibits": ["ReportFigure", "ReportTable", "notices"],
        "style": ["use_style"],
        "text": ["render", "show_text"],
    },
)
