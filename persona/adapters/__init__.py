"""Samples → edit, learned."""

from persona.adapters.encoders import ImageSetEncoder, SketchEncoder
from persona.adapters.persona import PersonaAdapter

__all__ = ["ImageSetEncoder", "PersonaAdapter", "SketchEncoder"]
