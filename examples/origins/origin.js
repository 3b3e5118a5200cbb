#!/usr/bin/env node
// A small origin server on Node: node origin.js [PORT] [FOLDER]
//
// GET       the files of FOLDER, or a line of text when none is given; /healthz answers "ok"
// PUT, POST reads the body and answers its length and SHA-256
//
// Port 0 takes any free port; the address is printed once the server listens. No packages are needed.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');

const port = Number(process.argv[2] || 9002);
const folder = process.argv[3] && path.resolve(process.argv[3]);

function text(response, status, body) {
  response.writeHead(status, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function upload(request, response) {
  const digest = crypto.createHash('sha256');
  let length = 0;
  request.on('data', (piece) => {
    digest.update(piece);
    length += piece.length;
  });
  request.on('end', () => text(response, 200, `${length} ${digest.digest('hex')}\n`));
}

function file(url, response) {
  const wanted = path.join(folder, url === '/' ? 'index.html' : path.normalize(url));
  fs.stat(wanted, (error, found) => {
    if (error || !found.isFile()) return text(response, 404, 'no such file\n');
    response.writeHead(200, {
      'Content-Type': wanted.endsWith('.html') ? 'text/html' : 'application/octet-stream',
      'Content-Length': found.size,
    });
    fs.createReadStream(wanted).on('error', () => response.destroy()).pipe(response);
  });
}

const server = http.createServer((request, response) => {
  const url = request.url.split('?')[0];
  if (request.method === 'PUT' || request.method === 'POST') return upload(request, response);
  if (url === '/healthz') return text(response, 200, 'ok\n');
  if (folder) return file(url, response);
  return text(response, 200, `hello from node:${server.address().port}\n`);
});
server.requestTimeout = 0;
server.listen(port, '127.0.0.1', 1024, () => console.log(`listening on 127.0.0.1:${server.address().port}`));
