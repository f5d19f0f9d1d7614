"""The articles of WikiText, and how lm-evaluation-harness counts their words."""

import re

from datasets import Dataset
from lm_eval.tasks.wikitext.preprocess_wikitext import process_results, wikitext_detokenizer

__all__ = ["process_docs", "process_results", "wikitext_detokenizer"]
# A title; headings within an article have more signs
TITLE = re.compile(r" = [^=].*[^=] = ?")


def process_docs(dataset):
    """One document `page` for each article, out of the lines `text` of the file."""
    pages = [[]]
    for line in dataset["text"]:
        if TITLE.fullmatch(line):
            pages.append([])
        pages[-1].append(line)
    whole = ["\n".join(lines) for lines in pages if any(map(str.strip, lines))]
    return Dataset.from_dict({"page": whole})
