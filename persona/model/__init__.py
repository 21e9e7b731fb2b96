"""Model editing: the torch core."""

from persona.model.editable import Deltas, EditableModel, Output
from persona.model.features import raw_features, standardise

__all__ = ["Deltas", "EditableModel", "Output", "raw_features", "standardise"]
