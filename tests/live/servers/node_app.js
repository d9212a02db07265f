// SPDX-License-Identifier: MIT
/*
 * The test routes on Node's http, one event loop.
 *
 * usage: node node_app.js PORT
 * Routes: /burn?us=N  /sleep?us=N (a timer)  /late?us=N (a timer of 2 ms, then N us of CPU, then the response)
 *   /upstream (asks UPSTREAM_URL, id "up-" + own id)  POST /echo  /health
 * X-Handler-CPU-Ns: what the process used (all threads; to a microsecond) while the handler ran.
 */
'use strict';
const http = require('http');

function cpuNs() {
  const used = process.cpuUsage();
  return (used.user + used.system) * 1000;
}

function burn(us) {
  const end = cpuNs() + us * 1000;
  while (cpuNs() < end);
}

function answer(response, status, spentNs) {
  const body = 'node\n';
  response.writeHead(status, { 'Content-Length': body.length, 'X-Handler-CPU-Ns': spentNs });
  response.end(body);
}

function measured(response, status, work) {
  const start = cpuNs();
  work();
  answer(response, status, cpuNs() - start);
}

function askUpstream(id, response) {
  const options = { headers: { 'X-Request-ID': 'up-' + id, Connection: 'close' }, agent: false };
  const outgoing = http.get(process.env.UPSTREAM_URL, options, (incoming) => {
    incoming.resume();
    incoming.on('end', () => answer(response, incoming.statusCode, 0));
  });
  outgoing.on('error', () => answer(response, 502, 0));
}

function echo(request, response) {
  request.on('data', () => {});
  request.on('end', () => answer(response, 200, 0));
}

const routes = {
  '/burn': (us, request, response) => measured(response, 200, () => burn(us)),
  '/sleep': (us, request, response) => setTimeout(() => answer(response, 200, 0), us / 1000),
  '/late': (us, request, response) => setTimeout(() => measured(response, 200, () => burn(us)), 2),
  '/upstream': (us, request, response) => askUpstream(request.headers['x-request-id'], response),
  '/echo': (us, request, response) => echo(request, response),
  '/health': (us, request, response) => answer(response, 200, 0),
};

const server = http.createServer({ keepAliveTimeout: 60000 }, (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const route = routes[url.pathname];
  if (!route) {
    answer(response, 404, 0);
    return;
  }
  route(Number(url.searchParams.get('us')), request, response);
});
server.listen(Number(process.argv[2]), '127.0.0.1', 4096);
process.on('SIGTERM', () => process.exit(0));
