"""EditableModel → bundle: one ONNX graph whose editable weights are plain inputs, and the encoder that serves it."""

from persona.export.build import Options, export_bundle

__all__ = ["Options", "export_bundle"]
