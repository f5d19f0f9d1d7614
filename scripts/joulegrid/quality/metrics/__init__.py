"""Metrics of generated texts: one module per method, named as in a study.

Each has `score(answers, entry) -> (metrics, signature)`: for each metric `each`, a value of every
answer whose mean is the metric, and `higher_is_better`, and of an encoder what it `cut`; and in
words how they were computed. An answer has `text`, `references` and `tokens_written`.
"""
