"""Where a brain's activity lives: regions and their connections, the vertices of a surface, the sensors that see them."""

from .connectome import Connectome
from .leadfield import LeadField
from .sparse import Sparse
from .surface import Surface

__all__ = ["Connectome", "LeadField", "Sparse", "Surface"]
