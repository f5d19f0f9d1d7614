"""Loading weights with transformers: one module per quantization method, named as the method is in
a study.

Each has `load(folder, entry, placement) -> model`, where `placement` is a device_map, and imports
the libraries that such weights run on, so that an upgrade of one library invalidates the results of
its own methods only.
"""
