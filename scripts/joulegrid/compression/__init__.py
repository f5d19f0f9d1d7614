"""Pruning and quantization: one module per method, named as the method is in a study (with _ for -).

A pruning module has `prune(model, entry)`, in place, and `verify(model, entry)`. A quantization module has
`load_options(entry)`, what from_pretrained needs to load such weights, and, where the method is not applied while
loading, `quantize(source, entry, folder, device, seed)` and `zero_share(folder, entry)`. A configuration is always made
in this order: fine-tuned weights → pruning → quantization.
"""
