"""Measure what besides disease could explain a score: masked images, probes, attribution.

Every audit gives a table of numbers with a baseline; none trains a network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attribution": ["EXAMPLES", "attribution_examples", "attribution_shares"],
        "masking": ["AuditImages", "MaskedImages", "choose_audit_images"],
        "protocol": ["ProtocolAudit"],
        "confounding": ["source_scores"],
        "probes": ["probe_scores"],
        "suspects": ["suspect_labels"],
        "tables": ["join_protocols"],
    },
)
