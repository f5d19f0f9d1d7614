"""Answers of a model, and metrics of answers against published values."""

import csv
import json
import math

import nltk
import pytest
import torch
from sacrebleu.metrics import BLEU
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from conftest import ROOT
from helpers import questions
from joulegrid.errors import InputError, Unsupported
from joulegrid.quality import lm_eval
from joulegrid.quality.generation import generate
from joulegrid.quality.metrics import bertscore, bleu, chrf, cosine, form, meteor, rouge, squad
from joulegrid.quality.metrics.encoders import folder_of
from joulegrid.quality.samples import standard_error, value_of
from joulegrid.quality.scoring import score

METHODS = {"bleu": bleu, "chrf": chrf, "rouge": rouge, "meteor": meteor}
FOUR_WORDS = {"wordnet": {"path": "tests/data/wordnet"}}
REAL = {
    "Assume a channel with noise": "Every channel has noise",
    "A router forwards packets between networks.": "Routers forward packets to other nets.",
    "Bananas are yellow.": "TCP is a reliable transport protocol.",
}


def published():
    with open(ROOT / "tests/data/metric_examples.csv", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def answers(pairs):
    return [
        {"text": text, "references": list(references), "tokens_written": 3}
        for text, references in pairs
    ]


def as_pairs(metric, hypothesis, reference):
    """Texts and references, in the forms in which the libraries' tests put them."""
    if metric in ("bleu", "chrf"):
        return list(zip(hypothesis, zip(*reference, strict=True), strict=True))
    if metric == "meteor":
        return [(" ".join(hypothesis), [" ".join(words) for words in reference])]
    return [(hypothesis, reference if isinstance(reference, list) else [reference])]


@pytest.mark.parametrize(
    "row", list(published()), ids=lambda row: f"{row['metric']} {row['value']}"
)
def test_a_metric_gives_the_published_value(row):
    pairs = as_pairs(row["metric"], json.loads(row["hypothesis"]), json.loads(row["reference"]))
    method = METHODS[row["metric"].rstrip("12L")]
    each = method.score(answers(pairs), {})[0][row["metric"]]["each"]
    assert sum(each) / len(each) == pytest.approx(float(row["value"]), abs=float(row["tolerance"]))


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("the auto halts", "the car stops"),
        # by the list of exceptions alone: their stems differ
        ("the oxen slept", "the ox slept"),
    ],
)
def test_meteor_counts_synonyms(text, reference):
    """All three words match in one chunk: 1 − ½ (1/3)³, Banerjee and Lavie 2005."""
    found, signature = meteor.score(answers([(text, [reference])]), {})
    assert found["meteor"]["each"] == [pytest.approx(1 - 0.5 / 27)]
    assert "WordNet 3.0" in signature


def test_meteor_takes_the_words_of_every_sentence():
    """A period in the middle of a text is a word of its own, as nltk.word_tokenize says."""
    several = "Dr. Ray saw the cat. It sat. Was it 3.5 kg?"
    words = ["Dr.", "Ray", "saw", "the", "cat", ".", "It", "sat", ".", "Was", "it"]
    words += ["3.5", "kg", "?"]
    assert meteor._tokenizer()(several) == words
    with lm_eval.splitter():
        assert nltk.word_tokenize(several) == words
    pair = [("A cat sat. It slept.", ["A cat sat . It slept ."])]
    found, signature = meteor.score(answers(pair), {})
    assert found["meteor"]["each"] == [pytest.approx(1 - 0.5 / 7**3)]
    assert "tok:punkt+treebank" in signature


def test_meteor_by_a_folder_of_one_s_own():
    pair = [("the auto halts", ["the car stops"])]
    found, signature = meteor.score(answers(pair), FOUR_WORDS)
    assert found["meteor"]["each"] == [pytest.approx(1 - 0.5 / 27)]
    assert "WordNet 0.1" in signature


def test_a_folder_without_wordnet_is_named():
    with pytest.raises(InputError, match="config/tasks: not WordNet's database files"):
        meteor.score([], {"wordnet": {"path": "config/tasks"}})


def test_the_error_of_bleu_is_that_of_sacrebleus_bootstrap():
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "big", "old"]
    draw = torch.Generator().manual_seed(0)

    def sentence(n):
        return [words[i] for i in torch.randint(len(words), (n,), generator=draw)]

    references = [sentence(12) for _ in range(80)]
    texts = [
        " ".join(r[:k] + sentence(12 - k))
        for r, k in zip(references, torch.randint(3, 12, (80,), generator=draw), strict=True)
    ]
    joined = [" ".join(r) for r in references]
    theirs = BLEU().corpus_score(texts, [joined], n_bootstrap=1000)
    found = score(
        {"metric": {"method": "bleu"}},
        {
            "lines": list(range(80)),
            "answers": [
                {"line": n, **each}
                for n, each in enumerate(answers(zip(texts, [[j] for j in joined], strict=True)))
            ],
        },
    )["metrics"]["bleu"]
    assert found["value"] == pytest.approx(theirs.score, abs=1e-9)
    assert 1.96 * found["stderr"] == pytest.approx(theirs._ci, rel=0.15)


@pytest.mark.parametrize(
    ("text", "references", "exact", "f1"),
    [
        # by hand, after the definition in Rajpurkar et al. 2016
        ("The Eiffel Tower!", ["eiffel tower"], 1, 1),
        ("in Paris, France", ["Paris", "Paris, France"], 0, 0.8),
        ("", ["Paris"], 0, 0),
        ("no idea", ["Paris"], 0, 0),
    ],
)
def test_exact_match_and_f1(text, references, exact, f1):
    found, _ = squad.score(answers([(text, references)]), {})
    assert found["exact_match"]["each"] == [exact]
    assert found["f1"]["each"] == [pytest.approx(f1)]


def test_refusals_and_repetitions():
    texts = ["I’m sorry, but no", "**As an AI** model", "Sorrento is in Italy", "a b c d a b c d"]
    found, _ = form.score(answers((text, []) for text in texts), {})
    assert found["refusals"]["each"] == [1, 1, 0, 0]
    # five groups of four words, of which one was there before
    assert found["repetitions"]["each"] == [0, 0, 0, pytest.approx(1 / 5)]
    assert found["tokens"]["each"] == [3] * 4


def test_bertscore_is_greedy_matching_of_the_layers_outputs():
    """Zhang et al. 2020, equations of P, R and F, on the encoder itself."""
    pairs = [(text, [reference]) for text, reference in REAL.items()]
    found, signature = bertscore.score(answers([*pairs, (" ", ["an answer"])]), {})
    tokenizer = AutoTokenizer.from_pretrained(folder_of({}))
    encoder = AutoModel.from_pretrained(folder_of({}))

    def vectors(text):
        with torch.inference_mode():
            ids = tokenizer(text, return_tensors="pt")
            layer = encoder(**ids, output_hidden_states=True).hidden_states[bertscore.LAYER][0]
        return torch.nn.functional.normalize(layer, dim=-1)

    for n, (text, reference) in enumerate(REAL.items()):
        alike = vectors(text) @ vectors(reference).T
        # the tokens around a text may be matched, but weigh nothing
        precision, recall = (alike.amax(axis)[1:-1].mean().item() for axis in (1, 0))
        assert found["bertscore_precision"]["each"][n] == pytest.approx(precision, abs=1e-4)
        assert found["bertscore_recall"]["each"][n] == pytest.approx(recall, abs=1e-4)
        f1 = 2 * precision * recall / (precision + recall)
        assert found["bertscore_f1"]["each"][n] == pytest.approx(f1, abs=1e-4)
    assert found["bertscore_f1"]["each"][-1] == 0
    assert "MiniLM" in signature


@pytest.mark.parametrize(("method", "longest"), [(cosine, 256), (bertscore, 512)])
def test_what_an_encoder_does_not_read_is_counted(method, longest):
    """A word is a token, and a text has one before and one behind it."""
    fits, longer = " ".join(["network"] * (longest - 2)), " ".join(["network"] * (longest - 1))
    pairs = [(longer, [fits]), (fits, [longer, longer]), (" ", [fits]), (longer, [fits])]
    for metric in method.score(answers(pairs), {})[0].values():
        assert metric["cut"] == {"answers": 2, "references": 2, "longest": longest}


def test_cosine_is_near_for_what_means_the_same():
    pairs = [(text, [reference]) for text, reference in REAL.items()]
    found, _ = cosine.score(answers([*pairs, ("same", ["other words", "same"]), ("", ["x"])]), {})
    noise, router, bananas, same, empty = found["cosine"]["each"]
    assert router > 0.6 > 0.2 > bananas
    assert noise > 0.6
    assert same == pytest.approx(1, abs=1e-5)
    assert empty == 0


# ---------------------------------------------------------------- generation
@pytest.fixture(scope="module")
def loaded(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny, padding_side="left")
    return AutoModelForCausalLM.from_pretrained(tiny).eval(), tokenizer


@pytest.fixture
def entry(tmp_path):
    """A task of three questions, the second of which is longer than the tiny model's context."""
    rows = [
        {"prompt": "What is a router?", "reference": "A box that forwards packets."},
        {"prompt": "word " * 600, "reference": ["a", "b"]},
        {"prompt": "Say: we all go home.", "reference": "We all go home!"},
    ]
    return questions.task(tmp_path, *rows, between="\n\n", batch_size=2, chat=True, leaked="keep")


def texts(found):
    return [answer["text"] for answer in found["answers"]]


def test_what_is_too_long_or_leaks_is_counted_and_no_answer_is_lost(loaded, entry):
    found = generate(*loaded, entry, 0)
    assert found["counts"] == {
        "questions": 3,
        "too_long": 1,
        "leaked": 1,
        "not_asked": 0,
        "empty": found["counts"]["empty"],
        "cut": found["counts"]["cut"],
    }
    assert found["lines"] == [1, 3, 5]
    assert [answer["line"] for answer in found["answers"]] == [1, 5]
    assert found["answers"][1]["references"] == ["We all go home!"]
    scored = score({"metric": {"method": "form"}}, found)["metrics"]["tokens"]
    written = [answer["tokens_written"] for answer in found["answers"]]
    assert scored["samples"]["weight"] == [1, 0, 1]
    assert scored["value"] == value_of(scored["samples"]) == sum(written) / 2
    with pytest.raises(Unsupported, match="1 of 3 prompts with 12 new tokens are longer"):
        generate(*loaded, {**entry, "too_long": "refuse"}, 0)


def test_a_question_with_its_reference_in_the_prompt_is_in_no_mean(loaded, entry):
    del entry["leaked"]
    found = generate(*loaded, entry, 0)
    counts = found["counts"]
    assert (counts["too_long"], counts["leaked"], counts["not_asked"]) == (1, 1, 1)
    assert [answer["line"] for answer in found["answers"]] == [1]
    scored = score({"metric": {"method": "form"}}, found)["metrics"]["tokens"]
    assert scored["samples"]["weight"] == [1, 0, 0]
    assert scored["value"] == found["answers"][0]["tokens_written"]
    # a guide may write what no file shows before
    with pytest.raises(Unsupported, match=r"1 of 3 prompts hold their own reference, .* line 5"):
        generate(*loaded, {**entry, "leaked": "refuse"}, 0)


def test_answers_do_not_depend_on_the_batch_and_end_where_the_model_ends_them(loaded, entry):
    model, tokenizer = loaded
    together, alone = (generate(*loaded, {**entry, "batch_size": n}, 0) for n in (2, 1))
    assert texts(together) == texts(alone)
    first = together["answers"][0]
    assert (first["tokens_written"], first["ended"]) == (12, False)
    # what the model writes fifth ends its answers from now on
    ids = tokenizer("What is a router?", return_tensors="pt")["input_ids"]
    written = model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :].tolist()
    end = next(n for n, token in enumerate(written) if token not in written[:n] and n > 2)
    before = model.config.eos_token_id
    model.config.eos_token_id = [before, written[end]]
    try:
        cut = generate(*loaded, entry, 0)["answers"][0]
    finally:
        model.config.eos_token_id = before
    assert (cut["tokens_written"], cut["ended"]) == (end, True)
    assert cut["text"] == tokenizer.decode(written[:end])


def test_sampled_answers_are_the_seeds(loaded, entry):
    drawn = {**entry, "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0}}
    one, again, other = (texts(generate(*loaded, drawn, seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_the_standard_error_is_of_the_answers_that_there_are(loaded, entry):
    found = score({"metric": {"method": "squad"}}, generate(*loaded, entry, 0))["metrics"]["f1"]
    answered = [t for t, w in zip(found["samples"]["total"], [1, 0, 1], strict=True) if w]
    by_hand = standard_error({"link": "mean", "total": answered, "weight": None})
    assert found["stderr"] == by_hand
    assert not math.isnan(found["value"])
