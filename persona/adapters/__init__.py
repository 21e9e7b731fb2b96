"""Samples → edit, learned."""

from persona.adapters.encoders import BothEncoder, ImageSetEncoder, SketchEncoder
from persona.adapters.persona import PersonaAdapter

__all__ = ["BothEncoder", "ImageSetEncoder", "PersonaAdapter", "SketchEncoder"]
