"""proxy.py PORT FOLDER TODAY YESTERDAY: one address, behind which another registry stood yesterday.

Passes every request to the server at TODAY, and writes a line about it to FOLDER/requests. While the file FOLDER/stale
exists, the next request for a token goes to the server at YESTERDAY instead, without its credential, and so does the
next request with that token. After that the client has a token that worked, but is of another registry.
"""
import http.client
import os
import sys
import urllib.parse
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
            is_stale = os.path.exists(f"{folder}/stale")
            if is_stale and self.path.startswith("/v2/token"):
                server = yesterday
                headers.pop("Authorization", None)
            elif is_stale and scheme == "Bearer":
                server = yesterday
                os.remove(f"{folder}/stale")
        body = self.body()
        connection = http.client.HTTPConnection(server)
        method, path, sent = self.command, self.path, body
        if server == yesterday and method == "POST":
            # A form has the credential and the scopes in its body.
            method, body = "GET", b""
            headers.pop("Content-Type", None)
            form = urllib.parse.parse_qs(sent.decode())
            path += "?" + urllib.parse.urlencode([("scope", scope) for scope in form.get("scope", [])])
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

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while length := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    def log_message(self, *_):
        pass


class Proxy(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Prints nothing: clients may close their connections at any time."""


Proxy(("127.0.0.1", int(port)), Handler).serve_forever()
