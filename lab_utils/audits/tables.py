"""Tables of several protocols as one, and audits that cannot be done."""

from collections.abc import Mapping

import pandas as pd

from lab_utils.core.errors import LabError


class AuditError(LabError):
    """An audit that these images do not allow; the other audits go on."""


def join_protocols(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join tables of several protocols; the column protocol comes first."""
    return pd.concat(tables, names=["protocol"]).reset_index("protocol").reset_index(drop=True)
