"""The token server of a registry: tokens for a user name and a password, as distribution takes them.

token_server.py ADDRESS TLS SIGNER USER:PASSWORD ISSUER

TLS and SIGNER are names of a certificate (.pem) and its key (.key). ISSUER is the name of this server in tokens.
"""

import base64
import http.server
import json
import ssl
import subprocess
import sys
import time
import urllib.parse

address, tls, signer, account, issuer = sys.argv[1:]
certificate = ssl.PEM_cert_to_DER_cert(open(f"{signer}.pem").read())


def encode(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def access(scope):
    kind, name, actions = scope.rsplit(":", 1)[0].split(":", 1) + [scope.rsplit(":", 1)[1]]
    return {"type": kind, "name": name, "actions": actions.split(",")}


def new_token(service, scopes):
    header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(certificate).decode()]}
    now = int(time.time())
    claims = {"iss": issuer, "sub": account.split(":")[0], "aud": service, "iat": now, "nbf": now - 10}
    claims |= {"exp": now + 300, "jti": str(time.time_ns()), "access": [access(scope) for scope in scopes]}
    signed = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    command = ["openssl", "dgst", "-sha256", "-sign", f"{signer}.key"]
    signature = subprocess.run(command, input=signed.encode(), stdout=subprocess.PIPE, check=True).stdout
    return f"{signed}.{encode(signature)}"


class TokenHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        expected = "Basic " + base64.b64encode(account.encode()).decode()
        if self.headers.get("Authorization") != expected:
            self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "unknown account"}]})
            return
        scopes = [scope for text in query.get("scope", []) for scope in text.split()]
        self.answer(200, {"token": new_token(query["service"][0], scopes), "expires_in": 300})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer((address, 443), TokenHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{tls}.pem", f"{tls}.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
