"""A whole-brain network: one model in every region, couplings over a connectome, delays, noise."""

from .network import Network

__all__ = ["Network"]
