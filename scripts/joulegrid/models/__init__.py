"""Obtain a model (modules hub, path, wheel) and describe it. A model is a folder with config.json and safetensors."""
