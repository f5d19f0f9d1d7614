"""METEOR of each answer by NLTK: exact matches, Porter stems and synonyms of WordNet; 0 to 1.

Banerjee and Lavie 2005, with the parameters of NLTK (α 0.9, β 3, γ 0.5). WordNet is the folder that
the task names: its database files as Princeton gives them, in a Debian package for instance.
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nltk
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.tokenize import NLTKWordTokenizer
from nltk.translate.meteor_score import meteor_score

from joulegrid.errors import InputError
from joulegrid.records import ROOT

LEXNAMES = "lexnames"
# Lexicographer files, of which packages leave out the names; only their number is used here
FILES = 45


class WordNet(WordNetCorpusReader):
    """WordNet's database files, with the list of lexicographer files where that is missing."""

    def open(self, file: str) -> Any:
        """A file of the database."""
        if file == LEXNAMES and not Path(self.root, file).is_file():
            return io.StringIO("".join(f"{n:02d}\t{n:02d}\t1\n" for n in range(FILES)))
        return super().open(file)

    def map_wn(self, version: str = "") -> None:
        """Nothing: it is for words of other languages, which need more files."""


def score(
    answers: Sequence[dict[str, Any]], entry: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]], str]:
    """`meteor`.

    Raises
    ------
    InputError
        where the folder does not hold WordNet.
    """
    wordnet, tokenizer = _wordnet(entry["wordnet"]["path"]), NLTKWordTokenizer()
    each = [
        meteor_score(
            [tokenizer.tokenize(reference) for reference in answer["references"]],
            tokenizer.tokenize(answer["text"]),
            wordnet=wordnet,
        )
        for answer in answers
    ]
    how = f"nltk {nltk.__version__}|WordNet {wordnet.get_version()}|tok:treebank"
    return {"meteor": {"each": each, "higher_is_better": True}}, how


def _wordnet(folder: str) -> WordNet:
    nltk.data.path.append(str(ROOT / folder))  # NLTK reads nowhere else
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that other languages than English are not there
            return WordNet(str(ROOT / folder), None)
    except (OSError, LookupError, ValueError) as error:
        raise InputError(f"{folder}: not WordNet's database files ({error})") from None
