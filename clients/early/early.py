"""early.py HOST:PORT SIZE REPEATS METHOD PATH STATUS [HEADER VALUE]

Sends bodies that the server does not want, and expects each answer to have the status. After each answer the program
sends another request, on the same connection as long as the server keeps it open.
"""

import http.client
import sys

address, size, repeats, method, path, status, *header = sys.argv[1:]
body, headers = b" " * int(size), dict([header] if header else [])


def chunks():
    for start in range(0, len(body), 30_000):
        yield body[start : start + 30_000]


connection = http.client.HTTPConnection(address, timeout=60)
for chunked in (False, True):
    for n in range(int(repeats)):
        sent = chunks() if chunked else body
        connection.request(method, path, sent, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == int(status), f"request {n}: expected status {status}, got {answer.status}"
        # A connection that the server closed without saying so fails here.
        connection.request("GET", "/v2/")
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (200, 401), f"request after {n}: expected status 200 or 401, got {answer.status}"
