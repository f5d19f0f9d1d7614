"""Making weights smaller: one module per method, named as the method is in a study (with _ for -).

A pruning module has `prune(model, entry, calibration, device) -> notes`, which changes a model in memory:

    entry        the study's entry: ratio, pattern, modules …
    calibration  token ids (samples × tokens), None where the entry has no calibration text
    device       where to compute; the model itself is in main memory before and after
    notes        what to record

and, where it makes zeros, `verify(model, entry)`. A quantization module has `quantize(source, entry, folder, device,
seed) -> notes`, from weights in a folder to weights in a folder, and `zero_share(folder, entry)`; methods that are
applied while loading have none. How quantized weights are loaded is in joulegrid.loading. A configuration is always
made in this order: fine-tuned weights → pruning → quantization.
"""
