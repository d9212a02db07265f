// SPDX-License-Identifier: MIT
/* A stream in both directions on one event loop. usage: node duplex.js PORT. Routes: /health  POST /echo */
'use strict';
const http = require('http');

http.createServer((request, response) => {
  if (request.url !== '/echo') {
    response.end('ok');
    return;
  }
  response.writeHead(200);
  response.flushHeaders();
  request.pipe(response);
}).listen(Number(process.argv[2]), '127.0.0.1', 512);
process.on('SIGTERM', () => process.exit(0));
