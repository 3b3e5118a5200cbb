"""The server behind the balancer in these tests: HTTP/1.1 only, so that what clients get over HTTP/2 was translated.

    /            a page that tries the browser's ways and posts what it saw to /result
    /echo        method, path, fields and payload of the request as JSON
    /big         a mebibyte that can be told by its SHA-256
    /events      three events, each in a write of its own
    /trailers    a chunked answer with a trailer field
    /hints       103 before 200
    /chat        WebSocket echo; the first message says which version the client spoke to the balancer
    /result      POST keeps a text, GET waits for it
"""

import base64
import hashlib
import http.server
import json
import struct
import sys
import threading

BIG = bytes((i * 31 + (i >> 8)) & 0xFF for i in range(1 << 16)) * 16

PAGE = """<!doctype html><title>waiting</title><script>
async function all() {
  const said = {};
  const echoed = await (await fetch("/echo", {method: "POST", body: "from the page"})).json();
  said.body = echoed.body;
  said.version = echoed.fields["x-client-version"];
  const big = await (await fetch("/big")).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", big));
  said.big = Array.from(digest, b => b.toString(16).padStart(2, "0")).join("");
  const entry = performance.getEntriesByType("resource").find(e => e.name.endsWith("/echo"));
  said.protocol = entry && entry.nextHopProtocol;
  said.events = await new Promise((good, bad) => {
    const seen = [], source = new EventSource("/events");
    source.onmessage = e => { seen.push(e.data); if (seen.length == 3) { source.close(); good(seen); } };
    source.onerror = () => bad(new Error("events: " + seen));
  });
  said.chat = await new Promise((good, bad) => {
    const seen = [], socket = new WebSocket("wss://" + location.host + "/chat");
    socket.onopen = () => { socket.send("hello"); socket.send("x".repeat(70000)); };
    socket.onmessage = e => { seen.push(e.data.length > 100 ? e.data.length : e.data); if (seen.length == 3) { socket.close(); good(seen); } };
    socket.onerror = () => bad(new Error("chat: " + seen));
  });
  return said;
}
all().catch(e => ({error: String(e)})).then(said => fetch("/result", {method: "POST", body: JSON.stringify(said)}));
</script>"""


class Result:
    def __init__(self):
        self.text, self.there = None, threading.Event()


RESULT = Result()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.split("?")[0]
        body = self.payload()
        if path == "/":
            self.answer(PAGE.encode(), "text/html")
        elif path == "/echo":
            fields = {name.lower(): value for name, value in self.headers.items()}
            said = {"method": self.command, "path": self.path, "fields": fields, "body": body.decode("latin-1")}
            self.answer(json.dumps(said).encode(), "application/json")
        elif path == "/big":
            self.answer(BIG, "application/octet-stream")
        elif path == "/digest":
            self.answer(hashlib.sha256(body).hexdigest().encode(), "text/plain")
        elif path == "/events":
            self.pieces([b"data: %d\n\n" % n for n in range(3)], "text/event-stream")
        elif path == "/trailers":
            self.pieces([b"abc", b"def"], "text/plain", b"X-Sum: 6\r\n")
        elif path == "/hints":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
            self.answer(b"hinted", "text/plain")
        elif path == "/chat":
            self.chat()
        elif path == "/result" and self.command == "POST":
            RESULT.text = body
            RESULT.there.set()
            self.answer(b"kept", "text/plain")
        elif path == "/result":
            self.answer(RESULT.text if RESULT.there.wait(60) else b"", "application/json")
        else:
            self.answer(b"no such thing\n", "text/plain", 404)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def payload(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, body, kind, status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pieces(self, pieces, kind, trailers=b""):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n" + trailers + b"\r\n")

    def chat(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        self.frame(1, f"version {self.headers.get('X-Client-Version')}".encode())
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            kind, length = head[0] & 15, head[1] & 127
            if length == 126:
                length = struct.unpack(">H", self.rfile.read(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self.rfile.read(8))[0]
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[i & 3] for i, b in enumerate(self.rfile.read(length)))
            self.frame(10 if kind == 9 else kind, data)
            if kind == 8:
                return

    def frame(self, kind, data):
        length = len(data)
        size = struct.pack(">B", length) if length < 126 else struct.pack(">BH", 126, length) if length < 65536 else struct.pack(">BQ", 127, length)
        self.wfile.write(bytes([0x80 | kind]) + size + data)
        self.wfile.flush()


if __name__ == "__main__":
    http.server.ThreadingHTTPServer.daemon_threads = True
    http.server.ThreadingHTTPServer.request_queue_size = 128
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
