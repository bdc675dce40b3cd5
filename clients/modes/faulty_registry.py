"""A registry with one image, which fails in the way that the first part of the image's name says.

faulty_registry.py ADDRESS PORT TLS LAYOUT USER:PASSWORD

TLS is the name of a certificate (.pem) and its key (.key), LAYOUT an image layout with one manifest. Content that the
registry redirects to is on the next port, where a request with a credential is refused.

  lies       sends another byte in the middle of a large blob, until there is a file "honest"
  stalls     waits in the middle of a blob
  dies       ends the connection in the middle of a blob, and sends the rest to those who ask for it
  redirects  sends blobs from the next port
  limits     answers 429 to everything
"""

import base64
import http.server
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse

address, port, tls, layout, account = sys.argv[1:]
host = f"https://faulty.example.com:{int(port) + 1}"
with open(f"{layout}/index.json") as index:
    manifest = json.load(index)["manifests"][0]


def content(digest):
    with open(f"{layout}/blobs/{digest.replace(':', '/')}", "rb") as blob:
        return blob.read()


class FaultyRegistry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path).path.strip("/").split("/")
        is_signed_in = self.headers.get("Authorization") == "Basic " + base64.b64encode(account.encode()).decode()
        if parts[0] == "stored":
            status = 400 if "Authorization" in self.headers else 200
            self.answer(status, {}, content(parts[1]))
        elif parts == ["v2"]:
            self.answer(200, {"Content-Type": "application/json"}, b"{}")
        elif not is_signed_in:
            self.answer(401, {"WWW-Authenticate": 'Basic realm="faulty"'}, b"")
        elif parts[1] == "limits":
            self.answer(429, {"Retry-After": "60"}, b"")
        elif parts[3] == "manifests":
            headers = {"Content-Type": manifest["mediaType"], "Docker-Content-Digest": manifest["digest"]}
            self.answer(200, headers, content(manifest["digest"]))
        else:
            self.blob(parts[1], parts[4])

    do_HEAD = do_GET

    def blob(self, fault, digest):
        bytes_of_blob = content(digest)
        half = len(bytes_of_blob) // 2
        if fault == "redirects":
            self.answer(307, {"Location": f"{host}/stored/{digest}"}, b"")
        elif fault == "lies" and half > 100_000 and not os.path.exists("honest"):
            self.answer(200, {}, bytes_of_blob[:half] + b"x" + bytes_of_blob[half + 1 :])
        elif fault == "stalls":
            self.answer(200, {}, bytes_of_blob, stop=half)
            time.sleep(2)
            self.wfile.write(bytes_of_blob[half:])
        elif fault == "dies" and "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            size = len(bytes_of_blob)
            self.answer(206, {"Content-Range": f"bytes {start}-{size - 1}/{size}"}, bytes_of_blob[start:])
        elif fault == "dies":
            self.answer(200, {}, bytes_of_blob, stop=half)
            self.close_connection = True
        else:
            self.answer(200, {}, bytes_of_blob)

    def answer(self, status, headers, body, stop=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:stop])
            self.wfile.flush()


def serve(at):
    server = http.server.ThreadingHTTPServer((address, at), FaultyRegistry)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{tls}.pem", f"{tls}.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


threading.Thread(target=serve, args=(int(port) + 1,), daemon=True).start()
serve(int(port))
