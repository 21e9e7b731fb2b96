"""What a service must not forget: who may ask, what each device was given, and what is known of the codes.

docs/decisions/0011 says why it is kept in this way; docs/operations.md how to look after it.
"""

from persona.service.state.database import Database
from persona.service.state.devices import Device, Devices
from persona.service.state.recording import Assignment, Recording

__all__ = ["Assignment", "Database", "Device", "Devices", "Recording"]
