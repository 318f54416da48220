"""Tables of several protocols as one."""

from collections.abc import Mapping

import pandas as pd


def by_protocol(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join tables of several protocols; the column protocol comes first."""
    return pd.concat(tables, names=["protocol"]).reset_index("protocol").reset_index(drop=True)
