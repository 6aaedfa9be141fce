"""Lists to screen against: how they are read, checked and kept in versions."""

from compliance.screening.lists.load import load_list
from compliance.screening.lists.store import ListVersion

__all__ = ["ListVersion", "load_list"]
