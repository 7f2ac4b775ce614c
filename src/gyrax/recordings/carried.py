"""What a run has carried, beside what a network carries."""

from ..labelled import check_same
from ..network import Network
from ..network.carrying import names_of_rows
from .run import Final


def check_carried(network: Network, final: Final, given: str) -> None:
    """Where a run ended fits a network: it carried the same rows, of the same regions.

    Args:
        network: that is to go on.
        final: where the run ended.
        given: the argument by which it was given, such as "start=".

    Raises:
        ValueError: for other labels, rows or shapes.
    """
    check_same(final.labels or None, network.labels, f"the run that {given} comes from", "the network")
    rows, shape = names_of_rows(network), (network.n_rows, network.n_nodes)
    named = final.rows or not network.n_living  # rows of connections say nothing without their names
    if final.y.shape != shape or (final.rows or rows) != rows or not named:
        size = f"{final.y.shape[1]} nodes" if final.y.ndim == 2 else f"an array of shape {final.y.shape}"
        raise ValueError(
            f"the run that {given} comes from carried {', '.join(final.rows) or f'{len(final.y)} rows'} in {size}, this network carries "
            f"{', '.join(rows)} in {network.n_nodes}: give the final of a run of it"
        )
