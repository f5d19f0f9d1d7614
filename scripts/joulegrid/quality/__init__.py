"""Quality tasks: one module per method, named as in a study (with _ for -).

Each has `evaluate(model, tokenizer, entry, seed) -> {metric: {"value", "stderr",
"higher_is_better", "samples"}}`, the samples as `samples.samples` gives them, or None.
"""
