"""An OpenAI-compatible endpoint on this machine that misbehaves as it is told."""

import http.server
import json
import threading
import time

PATIENCE_S = 60
VERDICT = "B is more to the point. [[B>A]]"


class Endpoint:
    """Answers chat completions; `manners` says how the n-th request is treated: a name of the
    methods below, "ok" where there is none. It answers nobody before `together` requests were
    there at once, however long they take to come.
    """

    def __init__(self, manners=(), usage=True, always=None, text=VERDICT, delay=0.0, together=1):
        self.manners, self.always, self.usage = list(manners), always, usage
        self.text, self.delay, self.closed = text, delay, threading.Event()
        self._gathered, self._together = threading.Event(), together
        self.asked, self.keys, self.most, self._now = [], set(), 0, 0
        self.lock = threading.Lock()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with endpoint.lock:
                    number = len(endpoint.asked)
                    endpoint.asked.append({"path": self.path, **content})
                    endpoint.keys.add(self.headers["Authorization"])
                    endpoint._now += 1
                    endpoint.most = max(endpoint.most, endpoint._now)
                    if endpoint.most >= endpoint._together:
                        endpoint._gathered.set()
                endpoint._gathered.wait(PATIENCE_S)
                time.sleep(endpoint.delay)
                planned = dict(enumerate(endpoint.manners))
                manner = endpoint.always or planned.get(number, "ok")
                try:
                    getattr(endpoint, manner)(self, content)
                except OSError:
                    pass  # the client did not wait
                finally:
                    with endpoint.lock:
                        endpoint._now -= 1

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()

    # ------------------------------------------------------------ manners
    def ok(self, handler, asked, text=None, finish="stop"):
        message = {"role": "assistant", "content": self.text if text is None else text}
        answer = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": asked["model"] + "-2026",
            "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        }
        if self.usage:
            answer["usage"] = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        self._send(handler, 200, json.dumps(answer))

    def busy(self, handler, asked):
        self._send(handler, 429, json.dumps({"error": {"message": "slow down"}}))

    def later(self, handler, asked):
        """Of its waits the openai package waits none in the tests."""
        self._send(handler, 429, json.dumps({"error": {"message": "in a while"}}), wait="0.05")

    def tomorrow(self, handler, asked):
        self._send(handler, 429, json.dumps({"error": {"message": "no more"}}), wait="86400")

    def too_long(self, handler, asked):
        self._send(handler, 413, json.dumps({"error": {"message": "payload too large"}}))

    def unpaid(self, handler, asked):
        self._send(handler, 402, json.dumps({"error": {"message": "no credit"}}))

    def broken(self, handler, asked):
        self._send(handler, 500, "<html>oops</html>", "text/html")

    def nonsense(self, handler, asked):
        self.ok(handler, asked, "I like both! {} \u2028 [[C>A]]")

    def cut(self, handler, asked):
        self.ok(handler, asked, "Answer A begins well, but", "length")

    def half(self, handler, asked):
        """The connection is lost in the middle of a reply."""
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "500")
        handler.end_headers()
        handler.wfile.write(b'{"id": "x", "choices": [{"message": {"cont')
        handler.wfile.flush()
        handler.close_connection = True

    def not_json(self, handler, asked):
        self._send(handler, 200, '{"id": "x", "choices": [{"mess')

    def no_choice(self, handler, asked):
        self._send(handler, 200, json.dumps({"object": "chat.completion", "choices": []}))

    def shaped(self, handler, asked):
        """A reply of another shape than services agree on, as `self.text` has it."""
        self._send(handler, 200, self.text)

    def silent(self, handler, asked):
        """No reply for as long as a client waits."""
        self.closed.wait(PATIENCE_S)

    def refuses(self, handler, asked):
        self._send(handler, 400, json.dumps({"error": {"message": "prompt is too long"}}))

    def forbids(self, handler, asked):
        key = handler.headers["Authorization"]
        self._send(handler, 401, json.dumps({"error": {"message": f"Incorrect key: {key}"}}))

    def unknown(self, handler, asked):
        self._send(handler, 404, json.dumps({"error": {"message": "no such model"}}))

    def _send(self, handler, status, text, kind="application/json", wait=None):
        content = text.encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content)))
        header = ("retry-after-ms", "5") if wait is None else ("retry-after", wait)
        handler.send_header(*header)
        handler.end_headers()
        handler.wfile.write(content)
