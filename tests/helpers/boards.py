"""Dosquet's question: which weights fit which of two boards that differ in memory alone."""

from joulegrid.study.job import part
from joulegrid.study.parts import Parts

REVISION = "0" * 40


def hub(name, owner="someone"):
    """The entry of a model of which the name tells the sizes."""
    return {"hub": f"{owner}/{name}", "revision": REVISION}


def on_boards(data, models, large, small, **others):
    """Put these models on a board of 80 GB and on one of 40, of these labels, on other hardware and
    on a CPU; in 16 bits too, and by vLLM too.
    """
    data["model"] = models
    data["quantization"]["fp16"] = {"method": "cast", "dtype": "float16"}
    del data["quantization"]["fp32"]
    board = {"device": "cuda", "gpu": "A100-SXM4"}
    data["hardware"] = {
        large: {**board, "gpu_memory_gb": 80},
        small: {**board, "gpu_memory_gb": 40},
        **others,
        "here": {"device": "cpu"},
    }
    data["engine"]["vllm"] = {"method": "vllm"}
    data["ranking"]["baseline"] = {"quantization": "fp16"}
    return data


def leave_code_unread(monkeypatch):
    """Which code a job runs is another question, and takes a second."""
    monkeypatch.setattr(Parts, "_code", lambda self, *_: {"code": part("0")})
