"""What the page's savings calculator starts from: energies of tokens as the sessions had them, and
factors that others published.

With a request of P prompt tokens and A answer tokens the energy of a request is

    E = P · e_prompt + (A − 1) · e_decoded      where prefill was measured apart from decode
    E = A · e_token                             where it was not

(`energies.by_phase`; the energy of the first token is in e_prompt), after the savings model of
D. Wetzel (Green Tech or Digital Polluter?, TU Berlin 2024, 6.3), but with the energies of one's own
cells for its fitted ones.
"""

from typing import Any

import pandas as pd
import xarray as xr

from joulegrid.analysis import energies, statistics
from joulegrid.analysis.published import FACTOR
from joulegrid.study.grid import CELL_AXES


def token_energies(tree: xr.DataTree, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with columns for the calculator; estimates of components are in all of them.

    Returns
    -------
    `e_token`, `e_prompt` and `e_decoded`, means over sessions in J, with the half widths of their
    95 % intervals (`…_ci95`, NaN with one session), and `read_per_written`, prompt tokens to each
    generated token of the workload.
    """
    energy = tree["energy"].to_dataset()
    prompt, decoded = energies.by_phase(energy)
    values = {"e_token": energies.per_token(energy), "e_prompt": prompt, "e_decoded": decoded}
    found = xr.Dataset(
        {"read_per_written": (energy.tokens_read / energy.tokens_written).mean("session")}
    )
    for name, sessions in values.items():
        mean = statistics.mean_over_sessions(sessions)
        found[name], found[f"{name}_ci95"] = mean["mean"], mean["half_width"]
    table = found.reset_coords(drop=True).drop_attrs().to_dataframe(dim_order=list(CELL_AXES))
    return frame.join(table, on=list(CELL_AXES))


def published_factors(tree: xr.DataTree) -> list[dict[str, Any]]:
    """Factors by which a change multiplied the energy elsewhere, with their source."""
    if "published" not in tree.children:
        return []
    rows = tree["published"].to_dataset().to_dataframe()
    rows = rows[rows.quantity == FACTOR]
    return [
        {
            "change": row.configuration,
            "factor": row.value,
            "source": f"{row.publication}, {row.workload}, {row.hardware}",
        }
        for row in rows.itertuples()
    ]
