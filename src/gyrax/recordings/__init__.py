"""What a run leaves behind, and what was before it."""

from .history import History
from .recording import Recording
from .run import Final, Run

__all__ = ["Final", "History", "Recording", "Run"]
