"""Tables of stage 45_audit on the data set itself, and tables of several protocols as one."""

from collections.abc import Mapping

import pandas as pd

from lab_utils.data.duplicates import leaks, matches


def by_protocol(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join tables of several protocols; the column protocol comes first."""
    return pd.concat(tables, names=["protocol"]).reset_index("protocol").reset_index(drop=True)


def data_tables(manifests: Mapping[str, pd.DataFrame], findings: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tables on the data set by name: findings_by_protocol, leaks, matches, pairs.

    Parameters
    ----------
    manifests, findings : mapping
        Protocol to its manifest and to its findings. The pairs are those of the first protocol.
    """
    distances, pairs = matches(next(iter(manifests.values())))
    return {
        "findings_by_protocol": by_protocol(findings),
        "leaks": by_protocol({name: leaks(manifest) for name, manifest in manifests.items()}),
        "matches": distances,
        "pairs": pairs,
    }
