"""Engines for graphs: exported ones by ONNX Runtime, conversions by OpenVINO."""
