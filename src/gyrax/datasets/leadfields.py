"""The lead fields that come with The Virtual Brain's data."""

import warnings
from importlib import resources
from typing import Literal

from .._extras import need
from .._formats.fields import closest
from .._kinds import choice, expect
from ..anatomy.connectome import Connectome
from ..anatomy.leadfield import LeadField, read_tvb_lead_field

#: Gain, sensors and unit of each modality.
_FIELDS = {
    "meg": ("projection_meg_276_surface_16k.npy", "meg_brainstorm_276.txt", "T/(A m)"),
    "eeg": ("projection_eeg_65_surface_16k.npy", "eeg_brainstorm_65.txt", "V/(A m)"),
    "eeg62": ("projection_eeg_62_surface_16k.mat", "eeg_unitvector_62.txt.bz2", ""),
}


def lead_field(name: str, modality: str, *, nonfinite: Literal["refuse", "drop"] = "refuse") -> LeadField:
    """Load the lead field of a dataset, with its regions in the order of its connectome: of `"tvb76"`, whose regions are all cortical.

    `"meg"`: 276 channels, of which 28 (references and triggers) have no gain: the 248 magnetometers of a 4D Neuroimaging
    system are left with `nonfinite="drop"`. `"eeg"`: 65 electrodes, 2 of them (at the eyes) without a gain. `"eeg62"`: 62
    electrodes, all with a gain.

    Gains of 16 384 vertices, with sources along the normals of the cortex, are summed over the vertices of each region, as
    The Virtual Brain does. It says of none in which unit it is: those of `"meg"` and `"eeg"` are of the size that T/(A m)
    and V/(A m) have, Brainstorm's units; that of `"eeg62"` is not known. Positions are those of the electrodes of `"eeg"`,
    in the axes of the connectome's centres (x to the front, y to the left). The others have none: the file of `"eeg62"` has
    directions only, and in that of `"meg"` the three numbers of each sensor are nearly the same, which no positions are.

    In `"eeg62"`, left electrodes see the right regions and the other way round (F7 has 99 % of its squared gain there), as
    if the head were mirrored. It is given as it is, with a warning.

    Read from the package tvb-data (GPL-3.0-or-later), which `pip install 'gyrax[tvb]'` brings. Cite Sanz Leon, Knock,
    Woodman, Domide, Mersmann, McIntosh, Jirsa (2013). The Virtual Brain: a simulator of primate brain network dynamics. Front.
    Neuroinform. 7:10. https://doi.org/10.3389/fninf.2013.00010

    Args:
        name: of the dataset.
        modality: "meg", "eeg" or "eeg62".
        nonfinite: 'refuse' sensors that have no finite gain, or 'drop' them.

    Raises:
        ValueError: there is no such lead field, or it has sensors without a finite gain, which are named.
        ImportError: tvb-data is not installed.

    Example:
        >>> lead_field("tvb76", "eeg", nonfinite="drop")
        LeadField(63 sensors, 76 regions, gain 0.242 to 1.14e+04 V/(A m))
    """
    expect("name", name, str, "the name of a dataset", "'tvb76'")
    expect("modality", modality, str, "the name of a lead field", "'eeg'")
    choice("nonfinite", nonfinite, ("refuse", "drop"))
    if name != "tvb76":
        raise ValueError(
            f"there is no lead field for a dataset of the name {name!r}: tvb-data has those of 'tvb76' only"
        )
    if modality not in _FIELDS:
        raise ValueError(f"there is no modality {modality!r} for 'tvb76': {closest(modality, _FIELDS)}")
    need("tvb_data", "tvb")
    gain, sensors, unit = _FIELDS[modality]
    with resources.as_file(resources.files("tvb_data")) as folder:
        field = read_tvb_lead_field(
            folder / "projectionMatrix" / gain,
            folder / "sensors" / sensors,
            folder / "regionMapping" / "regionMapping_16k_76.txt",
            Connectome.load(folder / "connectivity" / "connectivity_76.zip").labels,
            unit=unit,
            nonfinite=nonfinite,
        )
    if modality == "eeg62":
        warnings.warn(
            "in 'eeg62' of tvb-data, left electrodes see the right hemisphere, and right ones the left: 'eeg' has 63 "
            "electrodes where sides agree",
            stacklevel=2,
        )
    if modality == "meg":
        return LeadField(field.gain, field.sensors, field.regions, unit=unit)
    return field
