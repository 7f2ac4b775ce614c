"""Distances between features: differentiable, and strict about shapes and labels."""

from .distributions import ks_distance, wasserstein
from .likelihood import gaussian_log_likelihood
from .matrices import fc_correlation, fc_distance, fc_rmse, rmse
from .measured import fisher_z_log_likelihood, whittle_log_likelihood
from .spectral import peak_frequency_rmse, psd_correlation, psd_distance, psd_rmse
from .terms import weighted_sum

__all__ = [
    "fc_correlation",
    "fc_distance",
    "fc_rmse",
    "fisher_z_log_likelihood",
    "gaussian_log_likelihood",
    "ks_distance",
    "peak_frequency_rmse",
    "psd_correlation",
    "psd_distance",
    "psd_rmse",
    "rmse",
    "wasserstein",
    "weighted_sum",
    "whittle_log_likelihood",
]
