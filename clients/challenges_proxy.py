"""challenges_proxy.py PORT FOLDER TODAY YESTERDAY: a registry that was another one yesterday.

Passes every request on to the server at TODAY, and writes it down in FOLDER/requests. While there is a file
FOLDER/stale, the next request for a token goes to the server at YESTERDAY instead, without its credential: what it
answers with is a good token of another registry, as a client would still have one from the day before.
"""
import http.client
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

port, folder, today, yesterday = sys.argv[1:]
lock = Lock()
OWN = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OWN}
        server = today
        with lock:
            with open(f"{folder}/requests", "a") as requests:
                scheme = self.headers.get("Authorization", "nothing").split(" ")[0]
                requests.write(f"{self.command} {self.path} with {scheme}\n")
            if self.path.startswith("/v2/token") and os.path.exists(f"{folder}/stale"):
                os.remove(f"{folder}/stale")
                server = yesterday
                headers.pop("Authorization", None)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(server)
        method, path = self.command, self.path
        if server == yesterday:
            # A form has its credential in the body.
            method, body = "GET", b""
            headers.pop("Content-Type", None)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in OWN:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length", str(len(content))))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
