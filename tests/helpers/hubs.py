"""A server on this machine that speaks the part of the hub's protocol which snapshot_download
uses.
"""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOKEN = "hf_secret_of_the_test"


@contextmanager
def serving(
    name: str,
    revision: str,
    files: dict[str, bytes],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str = "models",
) -> Iterator[list[tuple[str, str | None]]]:
    """A hub with one repository, and `team/gated`; the environment points to it and to `cache`.

    Gives the list of what is asked for: path and authorization.
    """
    seen: list[tuple[str, str | None]] = []
    api = f"/api/{kind}"
    content = f"/{name}" if kind == "models" else f"/{kind}/{name}"

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            if self.path.startswith(f"{api}/{name}/tree/{revision}"):
                tree = [
                    {"type": "file", "path": k, "size": len(v), "oid": "0" * 40}
                    for k, v in files.items()
                ]
                return self.answer(
                    200, json.dumps(tree).encode(), {"Content-Type": "application/json"}
                )
            if self.path.startswith(f"{api}/team/gated/"):
                return self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
            if self.path.startswith(f"{api}/{name}/"):
                return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            file = self.path.removeprefix(f"{content}/resolve/{revision}/")
            if file != self.path and file in files:
                etag = hashlib.sha256(files[file]).hexdigest()
                return self.answer(
                    200, files[file], {"X-Repo-Commit": revision, "ETag": f'"{etag}"'}
                )
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET

        def answer(self, code, body, headers):
            self.send_response(code)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        yield seen
    finally:
        server.shutdown()
