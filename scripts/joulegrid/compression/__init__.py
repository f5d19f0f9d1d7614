"""Making weights smaller: one module per method, named as in a study (with _ for -).

A module in `pruning` has `prune(model, entry, calibration, device) -> notes`, which changes a model
in memory, and, where it makes zeros, `verify(model, entry)`. A module in `quantization` has
`quantize(source, folder, entry, calibration, device) -> notes`, from weights in a folder to weights
in a folder, and `zero_share(folder, entry)`; methods that are applied while loading have none.

    entry        the study's entry: ratio, pattern, bits …
    calibration  token ids (samples, tokens), None where the entry has no calibration text
    device       where to compute; the model itself is in main memory before and after
    notes        what to record

How quantized weights are loaded is in joulegrid.engines.transformers.loading. A configuration is
always made in this order: fine-tuned weights → pruning → quantization. `making` runs the methods,
`verification` checks what came out. What decides the weights is reachable from `prune`, `quantize`
and `making`; what only checks, counts or tells is in `verification` and in functions called
`verify`, `zero_share` and `describe`, so that a change there makes no weights anew.
"""
