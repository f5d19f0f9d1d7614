"""Quality tasks: one module per method, named as in a study (with _ for -).

Each has `evaluate(model, tokenizer, entry, seed) -> {metric: {"value", "stderr",
"higher_is_better", "samples"}}`, the samples as `samples.samples` gives them, or None. Only
`generation` has `generate(model, tokenizer, entry, seed)` instead, which gives texts; the modules
of metrics/ make metrics of them, in jobs of their own.
"""
