#!/usr/bin/env python3
"""A small origin server to try a load balancer with: python3 origin.py [PORT] [NAME]

GET  /            a line of text with the server's name
GET  /healthz     200 "ok"
GET  /echo        the request as it arrived, head and all
GET  /bytes/N     N bytes, the same each time
PUT, POST  *      reads the body, chunked or with a length; answers its length and SHA-256
GET  /ws          a WebSocket that echoes every message

Port 0 takes any free port; the address is printed once the server listens. Python's standard library only.
"""

import base64
import hashlib
import socketserver
import struct
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = bytes((i * 7 + (i >> 8)) & 0xFF for i in range(65536))
MESSAGE_LIMIT = 1 << 20


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = "origin"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self.answer(b"ok\n")
        elif path == "/echo":
            self.answer(f"{self.requestline}\r\n{self.headers}".encode())
        elif path.startswith("/bytes/") and path[7:].isdigit():
            self.send_bytes(int(path[7:]))
        elif path == "/ws" and self.headers.get("Upgrade", "").lower() == "websocket":
            self.websocket()
        else:
            self.answer(f"hello from {self.name}\n".encode())

    do_HEAD = do_GET

    def send_bytes(self, left):
        self.send_response(200)
        self.send_header("Content-Length", str(left))
        self.end_headers()
        while left and self.command != "HEAD":
            self.wfile.write(BLOCK[: min(left, len(BLOCK))])
            left -= min(left, len(BLOCK))

    def body(self):
        """The request body in pieces, whatever its framing."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                while size:
                    piece = self.rfile.read(min(size, 65536))
                    if not piece:
                        raise ConnectionError("body cut short")
                    size -= len(piece)
                    yield piece
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, 65536))
            if not piece:
                raise ConnectionError("body cut short")
            left -= len(piece)
            yield piece

    def handle_expect_100(self):
        self.send_response_only(100)
        self.end_headers()
        return True

    def do_PUT(self):
        digest, length = hashlib.sha256(), 0
        for piece in self.body():
            digest.update(piece)
            length += len(piece)
        self.answer(f"{length} {digest.hexdigest()}\n".encode())

    do_POST = do_PUT

    def websocket(self):
        """RFC 6455, as far as an echo needs it: no extensions, no fragments."""
        key = self.headers.get("Sec-WebSocket-Key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while head := self.rfile.read(2):
            opcode, length = head[0] & 0x0F, head[1] & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", self.rfile.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self.rfile.read(8))
            if length > MESSAGE_LIMIT or not head[1] & 0x80:
                return
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[i & 3] for i, byte in enumerate(self.rfile.read(length)))
            if opcode == 9:
                opcode = 10
            prefix = struct.pack("!BB", 0x80 | opcode, length) if length < 126 else struct.pack("!BBH", 0x80 | opcode, 126, length)
            if length > 0xFFFF:
                prefix = struct.pack("!BBQ", 0x80 | opcode, 127, length)
            self.wfile.write(prefix + data)
            if opcode == 8:
                return


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A peer that goes away is no news."""


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9001
    socketserver.TCPServer.allow_reuse_address = True
    server = Server(("127.0.0.1", port), Origin)
    Origin.name = sys.argv[2] if len(sys.argv) > 2 else f"python:{server.server_port}"
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
