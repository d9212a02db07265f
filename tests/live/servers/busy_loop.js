// SPDX-License-Identifier: MIT
/*
 * A Node loop that always has something ready. usage: node busy_loop.js PORT
 * Work for nobody, WORK_US at a time, by setImmediate for ever. Routes: /health  /sleep?us=N  /burn?us=N
 */
'use strict';
const http = require('http');
const WORK_US = 200;

function cpuNs() {
  const used = process.cpuUsage();
  return (used.user + used.system) * 1000;
}

function burn(us) {
  const end = cpuNs() + us * 1000;
  while (cpuNs() < end);
}

function background() {
  burn(WORK_US);
  setImmediate(background);
}

function answer(response, spentNs) {
  response.writeHead(200, { 'Content-Length': 2, 'X-Handler-CPU-Ns': spentNs });
  response.end('ok');
}

http.createServer({ keepAliveTimeout: 60000 }, (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const us = Number(url.searchParams.get('us'));
  if (url.pathname === '/sleep') {
    setTimeout(() => answer(response, 0), us / 1000);
    return;
  }
  const start = cpuNs();
  if (url.pathname === '/burn') burn(us);
  answer(response, cpuNs() - start);
}).listen(Number(process.argv[2]), '127.0.0.1', 512, background);
process.on('SIGTERM', () => process.exit(0));
