"""Persona: small models on devices follow their data's shift, with forward passes alone.

The names below need neither torch nor a network. The torch side is in `persona.model`, `persona.adapters`,
`persona.training` and `persona.export`; the service in `persona.service`; the device in `persona.device`.
"""

from persona.bank import Bank
from persona.bundle import Bundle, read_bundle
from persona.decoder import Decoder
from persona.edit import Edit
from persona.errors import PersonaError
from persona.sketch import Sketch, SketchSpec
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from persona.wire import AdaptReply, AdaptRequest

__version__ = "0.1.0"

__all__ = [
    "AdaptReply",
    "AdaptRequest",
    "Bank",
    "Bundle",
    "Decoder",
    "Edit",
    "LayerSpec",
    "ModelSpec",
    "PersonaError",
    "Sketch",
    "SketchSpec",
    "TensorSpec",
    "read_bundle",
]
