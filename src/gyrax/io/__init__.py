"""Connectomes, lead fields, atlases, time series and models, from disk and to disk, in the formats of the field."""

from .._formats.gains import Sensors, read_gain, read_region_map, read_sensors
from .._formats.npz import write_npz
from .._formats.reading import allowing
from ..anatomy.leadfield import read_tvb_lead_field
from .atlases import LabelImage, SurfaceLabels, read_annot, read_gifti_labels, read_label_image
from .connectomes import read_bids_connectivity, read_hdf5, read_mat, read_matrix, read_tvb_zip
from .export import parameters_frame, read_recordings, to_dataframe, to_gifti, to_netcdf, to_nifti, to_zarr
from .export_mne import to_epochs, to_evoked, to_raw
from .graphs import from_networkx, to_networkx
from .leadfields import from_forward
from .maps import read_maps
from .saving import load, save
from .series import from_epochs, from_evoked, from_nilearn, from_raw, read_series

__all__ = [
    "LabelImage",
    "Sensors",
    "SurfaceLabels",
    "allowing",
    "from_epochs",
    "from_evoked",
    "from_forward",
    "from_networkx",
    "from_nilearn",
    "from_raw",
    "load",
    "parameters_frame",
    "read_annot",
    "read_bids_connectivity",
    "read_gain",
    "read_gifti_labels",
    "read_hdf5",
    "read_label_image",
    "read_maps",
    "read_mat",
    "read_matrix",
    "read_recordings",
    "read_region_map",
    "read_sensors",
    "read_series",
    "read_tvb_lead_field",
    "read_tvb_zip",
    "save",
    "to_dataframe",
    "to_epochs",
    "to_evoked",
    "to_gifti",
    "to_netcdf",
    "to_networkx",
    "to_nifti",
    "to_raw",
    "to_zarr",
    "write_npz",
]
