"""The cloud's half: requests in, prototypes and residual codes out. It knows no task and trains nothing."""

from persona.service.app import create_app
from persona.service.server import serve

__all__ = ["create_app", "serve"]
