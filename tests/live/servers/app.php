<?php
// SPDX-License-Identifier: MIT
// The test routes in PHP: /back/burn?us=N and whatever else, which answers at once. Times are microseconds.

function burn(int $us): void
{
    $spent = fn () => ($u = getrusage())['ru_utime.tv_sec'] * 1e6 + $u['ru_utime.tv_usec']
        + $u['ru_stime.tv_sec'] * 1e6 + $u['ru_stime.tv_usec'];
    $end = $spent() + $us;
    while ($spent() < $end) {
    }
}

burn((int) ($_GET['us'] ?? 0));
$body = "php\n";
http_response_code(str_ends_with(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/none') ? 404 : 200);
header('Content-Type: text/plain');
header('Content-Length: ' . strlen($body));
echo $body;
