"""EditableModel → Bundle: one ONNX graph whose editable weights are plain inputs, and the encoder that serves it."""
