"""What an edit costs a device: time, memory and bytes, each beside what it is compared with, in one run."""

from persona.bench.device.measure import measure
from persona.bench.device.tables import tables_of

__all__ = ["measure", "tables_of"]
