# SPDX-License-Identifier: MIT
"""nginx: files, and as a proxy in front of another server or of PHP."""
import subprocess

import agent
import build
import daemons

CONFIG = """
daemon off;
master_process %(master)s;
worker_processes %(workers)d;
user root;
pid %(dir)s/pid;
error_log %(dir)s/errors warn;
events { worker_connections 4096; }
http {
  access_log off;
  default_type text/plain;
  sendfile on;
  keepalive_requests 1000000;
  client_body_temp_path %(dir)s/body;
  proxy_temp_path %(dir)s/proxy;
  fastcgi_temp_path %(dir)s/fastcgi;
  uwsgi_temp_path %(dir)s/uwsgi;
  scgi_temp_path %(dir)s/scgi;
  %(upstream)s
  server {
    listen 127.0.0.1:%(port)d backlog=1024;
    root %(dir)s/www;
    %(more)s
    location /back/ { %(back)s }
    location / { }
  }
}
"""
PROXY = "proxy_pass http://back/; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering on;"
PHP = "include %s; fastcgi_pass unix:%s;"
PHP_PARAMETERS = """
fastcgi_param SCRIPT_FILENAME %(script)s;
fastcgi_param QUERY_STRING $query_string;
fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_LENGTH $content_length;
fastcgi_param REQUEST_URI $request_uri;
"""


class Nginx(daemons.Daemon):
    """Static files; /back/ goes to `back`, a (host, port), over kept connections if `keep` of them may wait."""

    PROGRAMS = ("nginx",)

    def __init__(self, workers=1, back=None, keep=0, **options):
        self.workers, self.back, self.keep = workers, back, keep
        super().__init__(**options)

    def configure(self):
        """Writes nginx.conf."""
        self.write_pages()
        config = self.write("nginx.conf", CONFIG % {
            "dir": self.dir, "port": self.port, "workers": self.workers, "master": "on",
            "upstream": self.upstream(), "back": self.back_location(),
            "more": self.more()})
        return [daemons.program(*self.PROGRAMS), "-p", self.dir, "-c", config]

    def upstream(self):
        """The upstream block, if there is one."""
        if not self.back:
            return ""
        keep = "keepalive %d;" % self.keep if self.keep else ""
        return "upstream back { server %s:%d; %s }" % (*self.back, keep)

    def more(self):
        """Further lines of the server block."""
        return ""

    def back_location(self):
        """What /back/ does."""
        return PROXY if self.back else "return 404;"


class NginxThreads(Nginx):
    """Files are sent by the threads of a pool."""

    def more(self):
        """See above."""
        return "aio threads; directio off;"


class NginxTls(Nginx):
    """The same files over TLS at the port `tls` too, which also takes uploads below /put/.

    servers/turn_clock.c writes down what its worker runs for each plain request.
    """

    def environment(self, preload, env):
        """See above."""
        return {**super().environment(preload, env), "LD_PRELOAD": build.part("turn_clock.so"),
                "TURN_CLOCK": self.path("turns")}

    def turns(self):
        """{id: (ns of CPU to the last write, ns to the thread's next call on a connection)} of plain requests so far."""
        with open(self.path("turns"), encoding="ascii") as lines:
            return {ident: (int(low), int(high)) for ident, low, high in map(str.split, lines)}

    @classmethod
    def missing(cls):
        """A certificate is made."""
        return super().missing() or (None if daemons.program("openssl") else "no openssl here: scripts/setup test")

    def configure(self):
        """Makes a certificate for a day."""
        self.tls = agent.free_port()
        self.write("www/put/none", b"")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                        "-keyout", self.path("key.pem"), "-out", self.path("cert.pem")], check=True, capture_output=True)
        return super().configure()

    def more(self):
        """See above."""
        return ("listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s; client_max_body_size 0; "
                "location /put/ { dav_methods PUT; }" % (self.tls, self.path("cert.pem"), self.path("key.pem")))


class NginxPhp(Nginx):
    """/back/ goes to PHP-FPM's socket."""

    def __init__(self, php, **options):
        self.php = php
        super().__init__(**options)

    def back_location(self):
        """FastCGI instead of HTTP."""
        parameters = self.write("php.conf", PHP_PARAMETERS % {"script": self.php.script})
        return PHP % (parameters, self.php.socket)
