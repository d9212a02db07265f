# SPDX-License-Identifier: MIT
"""Apache httpd with each of its ways to serve: a process or a thread a connection, or an event loop before a pool."""
import glob
import grp
import os

import daemons

MODULES = ("authz_core", "dir", "alias", "lua")
CONFIG = """
ServerRoot "%(dir)s"
ServerName localhost
Listen 127.0.0.1:%(port)d
ListenBacklog 1024
PidFile "%(dir)s/pid"
ErrorLog "%(dir)s/errors"
LogLevel warn
DefaultRuntimeDir "%(dir)s"
Mutex fcntl:%(dir)s
User nobody
Group %(group)s
%(load)s
%(mpm)s
KeepAlive %(keep)s
MaxKeepAliveRequests 0
KeepAliveTimeout 20
EnableSendfile On
DocumentRoot "%(dir)s/www"
<Directory "%(dir)s">
  Require all granted
</Directory>
LuaScope thread
LuaMapHandler "^/(burn|echo)$" "%(dir)s/app.lua"
ScriptAlias /cgi/ "%(dir)s/cgi/"
%(cgid)s
"""
PREFORK = "StartServers 18\nMinSpareServers 1\nMaxSpareServers 40\nMaxRequestWorkers 40"
THREADS = "StartServers 2\nServerLimit 2\nThreadsPerChild 20\nMaxRequestWorkers 40\nMinSpareThreads 1\nMaxSpareThreads 40"
MPMS = {"prefork": ("cgi", PREFORK), "worker": ("cgid", THREADS), "event": ("cgid", THREADS)}
# A turn of the loop is about 10 ns: no clock of Lua's counts one thread's CPU.
LUA = """
local function burn(us)
  local x = 0
  for i = 1, us * 100 do x = x + i % 7 end
  return x
end

function handle(r)
  r.content_type = "text/plain"
  if r.method == "POST" then
    r:puts(#(r:requestbody() or ""))
  else
    burn(tonumber(r:parseargs().us or "0"))
    r:puts("ok")
  end
  return apache2.OK
end
"""
# A process of prefork has one thread, so that its clock is the thread's.
LUA_PREFORK = """
function handle(r)
  local start, us = os.clock(), tonumber(r:parseargs().us or "0")
  while (os.clock() - start) * 1e6 < us do end
  r.headers_out["X-Handler-CPU-Ns"] = string.format("%d", math.floor((os.clock() - start) * 1e9))
  r.content_type = "text/plain"
  r:puts("ok")
  return apache2.OK
end
"""
CGI = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\nContent-Length: 4\\r\\n\\r\\ncgi\\n'
"""


class Apache(daemons.Daemon):
    """/burn?us=N and POST /echo inside the serving thread, /cgi/app in a process of its own, files else."""

    PROGRAMS = ("apache2", "httpd")
    HANDLER = LUA

    def __init__(self, mpm, keep=True, **options):
        self.mpm, self.keep = mpm, keep
        super().__init__(**options)

    @staticmethod
    def modules():
        """The directory of loadable modules."""
        found = glob.glob("/usr/lib*/apache2/modules") + glob.glob("/usr/lib*/httpd/modules")
        return found[0] if found else ""

    def load_lines(self, cgi):
        """LoadModule for all that is not built in."""
        lines = []
        for name in ("mpm_" + self.mpm, *MODULES, cgi):
            path = os.path.join(self.modules(), "mod_%s.so" % name)
            if os.path.exists(path):
                lines.append("LoadModule %s_module %s" % (name, path))
        return "\n".join(lines)

    def configure(self):
        """Writes httpd.conf, the Lua handler and the CGI script."""
        cgi, mpm = MPMS[self.mpm]
        self.write_pages()
        self.write("app.lua", self.HANDLER)
        self.write("cgi/app", CGI, 0o755)
        config = self.write("httpd.conf", CONFIG % {
            "dir": self.dir, "port": self.port, "group": grp.getgrgid(65534).gr_name,
            "load": self.load_lines(cgi), "mpm": mpm, "keep": "On" if self.keep else "Off",
            "cgid": 'ScriptSock "%s/cgid"' % self.dir if cgi == "cgid" else ""})
        return [daemons.program(*self.PROGRAMS), "-DFOREGROUND", "-d", self.dir, "-f", config]


class ApacheClocked(Apache):
    """With a process for each connection, whose /burn uses its process's CPU and tells of it in X-Handler-CPU-Ns."""

    HANDLER = LUA_PREFORK

    def __init__(self, **options):
        super().__init__("prefork", **options)
