# SPDX-License-Identifier: MIT
"""`reqmeter stats` and `reqmeter check` against real servers and a running agent."""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

import agent
import build
import fixtures

PYTHON = fixtures.PYTHON
METER = None
URING_SETUP = 425

HTTP = ("import http.server\nhttp.server.BaseHTTPRequestHandler.log_message = lambda *words: None\n"
        "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
        "print(server.server_port, flush=True)\nserver.serve_forever()\n")
TLS = HTTP.replace("print(", "import ssl, sys\ncontext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
                   "context.load_cert_chain(sys.argv[1], sys.argv[2])\n"
                   "server.socket = context.wrap_socket(server.socket, server_side=True)\nprint(")
IDLE = "import time\nprint(0, flush=True)\ntime.sleep(600)\n"
LISTENS = "import socket, time\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\ntime.sleep(600)\n"
# Accepts, but neither reads nor answers.
ACCEPTS = LISTENS.replace("time.sleep", "c = s.accept()\ntime.sleep")
# Reads one line of its own protocol.
ECHO = LISTENS.replace("time.sleep", "c = s.accept()[0]\nc.sendall(c.recv(100))\ntime.sleep")
URING = LISTENS.replace("import socket", "import ctypes, socket").replace(
    "print(", "fd = ctypes.CDLL(None).syscall(%d, 4, ctypes.create_string_buffer(240))\nassert fd >= 0\nprint(" % URING_SETUP)


def setUpModule():
    """One agent for all."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    METER = agent.Agent()


def tearDownModule():
    """Ends the agent."""
    METER.stop()


def environment(**more):
    """Asks our agent only."""
    result = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return dict(result, REQMETER_AGENT="http://" + METER.address, **more)


def reqmeter(*args, env=None):
    """(exit code, stdout, stderr) of a command."""
    done = subprocess.run([agent.PROGRAM, *args], capture_output=True, text=True, timeout=120, env=env or environment())
    return done.returncode, done.stdout, done.stderr


class Program:
    """A Python program that prints its port when it is ready. A context manager."""

    def __init__(self, script, *args):
        self.process = subprocess.Popen([PYTHON, "-c", script, *args], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline() or -1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @property
    def pid(self):
        """Its process id."""
        return self.process.pid

    def get(self, request_id, path="/"):
        """One request on a connection of its own; the status."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as sock:
            sock.sendall(("GET %s HTTP/1.0\r\nX-Request-ID: %s\r\n\r\n" % (path, request_id)).encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
        return int(answer.split()[1])


def on_a_terminal(args, columns, env):
    """What a command prints on a terminal of that width."""
    leader, follower = os.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen([agent.PROGRAM, *args], stdout=follower, env=env) as process:
        os.close(follower)
        text = b""
        try:
            while data := os.read(leader, 65536):
                text += data
        except OSError:  # the other end is closed
            pass
        process.wait(60)
    os.close(leader)
    return text.decode()


class Stats(unittest.TestCase):
    """`reqmeter stats`."""

    @classmethod
    def setUpClass(cls):
        cls.server = Program(HTTP)
        cls.scope = "pid:%d" % cls.server.pid
        for i in range(12):
            cls.server.get("row-%d" % i, "/item/%d" % i)

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def ended(self, request_id):
        """Waits until a request has a row."""
        self.assertTrue(agent.poll_until(lambda: METER.stats(id=request_id)["requests"]["recent"], 10))

    def test_table(self):
        """The rows of a scope, its route, and the filters."""
        self.ended("row-11")
        code, out, err = reqmeter("stats", "--scope", self.scope)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual({"row-%d" % i for i in range(12)} & set(out.split()), {"row-%d" % i for i in range(12)})
        self.assertRegex(out, r"GET +/item/\{id\} +(\S+ +)?12 +0 ")
        code, out, _ = reqmeter("stats", "--scope", self.scope, "--limit", "3", "--sort", "cpu")
        self.assertEqual((code, len(re.findall(r"^\d\d:\d\d:\d\d\.\d+ ", out, re.M))), (0, 3))
        code, out, _ = reqmeter("stats", "--scope", self.scope, "--route", "/none")
        self.assertIn("no request matches", out)
        code, out, _ = reqmeter("stats", "--scope", self.scope, "--id", "row-3", "--window", "all")
        self.assertEqual(sum("row-" in line for line in out.splitlines()), 1)
        self.assertNotIn("CPU by cgroup", out)
        code, out, _ = reqmeter("stats", "--id", "no-such-id")
        self.assertEqual((code, out.strip()), (0, "no request matches"))

    def test_json(self):
        """The report itself."""
        self.ended("row-11")
        code, out, err = reqmeter("stats", "--json", "--scope", self.scope, "--limit", "2", "--sort", "cpu")
        rows = json.loads(out)["requests"]["recent"]
        self.assertEqual((code, err, len(rows)), (0, "", 2))
        self.assertGreaterEqual(rows[0]["cpu_ns"], rows[1]["cpu_ns"])

    def test_fits_its_terminal(self):
        """No line is wider, and colour only where it can be seen and is wanted."""
        self.ended("row-11")
        self.assertEqual(self.server.get("wide-" + "x" * 100, "/" + "y" * 200), 404)
        self.ended("wide-" + "x" * 100)
        args = ["stats", "--scope", self.scope, "--limit", "5"]
        for columns in (60, 80, 200):
            with self.subTest(columns):
                text = on_a_terminal(args, columns, environment(NO_COLOR="1"))
                self.assertNotIn("\033", text)
                table = text.split("finished")[1].split("CPU by cgroup")[0]
                self.assertEqual([line for line in table.splitlines() if len(line) > columns], [])
                self.assertIn("\033[", on_a_terminal(args, columns, environment()))

    def test_waits_for_a_request(self):
        """It blocks while the request is served, and prints its row when that has ended."""
        script = HTTP.replace("server =", "import sys\nclass Slow(http.server.SimpleHTTPRequestHandler):\n"
                              "    def do_GET(self):\n        sys.stdin.readline()\n        super().do_GET()\nserver =", 1)
        script = script.replace("http.server.SimpleHTTPRequestHandler)\nprint", "Slow)\nprint")
        slow = subprocess.Popen([PYTHON, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        try:
            server = Program.__new__(Program)
            server.process, server.port = slow, int(slow.stdout.readline())
            client = threading.Thread(target=server.get, args=("awaited",))
            client.start()
            self.assertTrue(agent.poll_until(lambda: METER.stats(id="awaited")["requests"]["active"], 10))
            waiting = subprocess.Popen([agent.PROGRAM, "stats", "--id", "awaited", "--wait", "60s"], text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
            code, out, err = reqmeter("stats", "--id", "awaited", "--wait", "500ms")
            self.assertEqual((code, out, len(err.splitlines())), (1, "", 1))
            self.assertIn("still being served", err)
            self.assertIsNone(waiting.poll())
            slow.stdin.write("\n")
            slow.stdin.flush()
            out, err = waiting.communicate(timeout=60)
            self.assertEqual((waiting.returncode, err), (0, ""))
            self.assertEqual(sum("awaited" in line for line in out.splitlines()), 1)
            self.assertNotIn("CPU by cgroup", out)
            client.join()
        finally:
            slow.kill()
            slow.communicate()

    def test_failures(self):
        """One line, with what to do; 1 at run time, 2 for wrong usage."""
        for args, code, says in ((["--id", "no-such-id", "--wait", "300ms"], 1, "scope"),
                                 (["--scope", "pid:4194304"], 1, "nothing that is watched"),
                                 (["--agent", "unix:/nonexistent"], 1, "sudo reqmeter agent"),
                                 (["--agent", "http://127.0.0.1:1"], 1, "--agent"),
                                 (["--sort", "size"], 2, "--sort"), (["--wait", "1s"], 2, "--id"),
                                 (["x"], 2, "--help"), (["--limit"], 2, "--help")):
            with self.subTest(args):
                got, out, err = reqmeter("stats", *args)
                self.assertEqual((got, out, len(err.splitlines())), (code, "", 1), err)
                self.assertIn(says, err)


class Check(unittest.TestCase):
    """`reqmeter check`."""

    def verdict(self, pid, *args):
        """(short name, sentence) for a process; the text says the same."""
        code, out, err = reqmeter("check", "--json", "--pid", str(pid), *args)
        report = json.loads(out)
        self.assertEqual((code, err, report["can_run"]), (0, "", True))
        self.assertEqual(report["process"]["pid"], pid)
        code, out, err = reqmeter("check", "--pid", str(pid), *args)
        self.assertEqual((code, err, len(out.splitlines())), (0, "", 1))
        return report["process"]["verdict"], out

    def until(self, pid, wanted):
        """Waits until the agent has noticed."""
        agent.poll_until(lambda: self.verdict(pid)[0] == wanted, 10, 0.2)
        verdict, sentence = self.verdict(pid)
        self.assertEqual(verdict, wanted, sentence)
        return sentence

    def test_features(self):
        """Without a pid: the list, and whether the agent can run."""
        code, out, _ = reqmeter("check")
        self.assertEqual(code, 0)
        self.assertIn("\nThe agent can run here.\n", out)
        report = json.loads(reqmeter("check", "--json")[1])
        self.assertTrue(report["can_run"])
        self.assertNotIn("process", report)
        names = [feature["name"] for feature in report["features"]]
        self.assertEqual([name for name in names if name not in out], [])
        self.assertIn("requests", names)

    def test_has_rows(self):
        """A server that was asked; before that, it has no connection."""
        with Program(HTTP) as server:
            self.assertIn("TCP port %d" % server.port, self.until(server.pid, "no-connection"))
            self.assertEqual(server.get("check-1"), 200)
            self.assertIn("has rows: 1", self.until(server.pid, "has-rows"))

    def test_descendants(self):
        """A parent that only starts the server."""
        script = ("import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', sys.argv[1]], text=True,"
                  " stdout=subprocess.PIPE)\nprint(child.stdout.readline(), child.pid, flush=True)\ntime.sleep(600)\n")
        with Program(script.replace(", child.pid", ""), HTTP) as server:
            child = int(open("/proc/%d/task/%d/children" % (server.pid, server.pid)).read())
            try:
                server.get("check-2")
                self.assertIn("descendants", self.until(server.pid, "descendants-have-rows"))
            finally:
                os.kill(child, signal.SIGKILL)

    @unittest.skipUnless(shutil.which("openssl"), "no openssl to make a certificate")
    def test_tls(self):
        """A real handshake and a real request inside it."""
        with tempfile.TemporaryDirectory(prefix="reqmeter-") as directory:
            key, certificate = os.path.join(directory, "key"), os.path.join(directory, "certificate")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days",
                            "2", "-keyout", key, "-out", certificate], check=True, capture_output=True)
            with Program(TLS, certificate, key) as server:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                with socket.create_connection(("127.0.0.1", server.port)) as raw, context.wrap_socket(raw) as sock:
                    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    self.assertTrue(sock.recv(100).startswith(b"HTTP/1.0 200"))
                self.assertIn("TLS", self.until(server.pid, "tls"))

    def test_other_protocols(self):
        """HTTP/2's preface, and something else."""
        for first, verdict in ((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"), (b"\x00\x01binary", "other-protocol")):
            with self.subTest(verdict), Program(ECHO) as server:
                with socket.create_connection(("127.0.0.1", server.port)) as sock:
                    sock.sendall(first)
                    sock.recv(100)
                    self.until(server.pid, verdict)

    def test_silent_connection(self):
        """Accepted, but nothing was said."""
        with Program(ACCEPTS) as server, socket.create_connection(("127.0.0.1", server.port)):
            self.until(server.pid, "silent")

    def test_io_uring(self):
        """A listening process that holds a ring."""
        if ctypes.CDLL(None, use_errno=True).syscall(URING_SETUP, 0, None) == -1 and ctypes.get_errno() in (1, 38):
            self.skipTest("no io_uring here")
        with Program(URING) as server:
            self.assertIn("io_uring", self.until(server.pid, "io_uring"))

    def test_not_a_server(self):
        """Idle, a thread, a thread of the kernel, ended, never there, the agent."""
        with Program(IDLE) as idle:
            self.until(idle.pid, "not-listening")
            os.kill(idle.pid, signal.SIGKILL)
            self.until(idle.pid, "ended")
        self.assertEqual(self.verdict(2)[0], "kernel-thread")
        self.assertEqual(self.verdict(4194304)[0], "no-process")
        self.assertEqual(self.verdict(METER.pid)[0], "agent")
        ready, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: (ready.set(), done.wait()))
        thread.start()
        ready.wait()
        self.assertIn("process %d" % os.getpid(), self.verdict(thread.native_id)[1])
        done.set()
        thread.join()

    def test_out_of_scope(self):
        """An agent that watches something else."""
        with Program(HTTP) as server, Program(IDLE) as other, agent.Agent("--scope", "pid:%d" % other.pid) as narrow:
            address = "http://" + narrow.address
            self.assertEqual(self.verdict(server.pid, "--agent", address)[0], "not-watched")
            self.assertEqual(self.verdict(other.pid, "--agent", address)[0], "not-listening")

    def test_failures(self):
        """One line each."""
        for args, code in ((["--pid", "1", "--agent", "unix:/nonexistent"], 1), (["--pid", "0"], 2), (["--pid", "x"], 2),
                           (["--pid"], 2), (["1"], 2)):
            with self.subTest(args):
                got, out, err = reqmeter("check", *args)
                self.assertEqual((got, out, len(err.splitlines())), (code, "", 1), err)


class Itself(unittest.TestCase):
    """`reqmeter` itself."""

    def test_help_and_version(self):
        """On stdout, 0; no command is missing or too many."""
        code, out, _ = reqmeter("--help")
        self.assertEqual(code, 0)
        for command in ("agent", "run", "stats", "check"):
            self.assertIn("\n  %s " % command, out)
            self.assertEqual(reqmeter(command, "--help")[0], 0)
        self.assertTrue(reqmeter("--version")[1].startswith("reqmeter "))
        for args in ([], ["top"], ["--nope"]):
            code, out, err = reqmeter(*args)
            self.assertEqual((code, out, len(err.splitlines())), (2, "", 1))


def member_names(value, place=""):
    """The names of all values that are no objects, as the manual writes them: dots between an object and its member."""
    if isinstance(value, list):
        return {name for item in value if isinstance(item, dict) for name in member_names(item)}
    names = set()
    for name, member in value.items():
        if isinstance(member, dict):
            names |= member_names(member, place + name + ".")
        elif isinstance(member, list) and not (member and isinstance(member[0], str)):
            names |= member_names(member)
        else:
            names.add(place + name)
    return names


class Manual(unittest.TestCase):
    """reqmeter-fields(5)."""

    SECTIONS = ("host", "mem_info", "drum_info", "time_info", "cgroups", "processes", "threads", "requests", "agent")

    def test_every_field(self):
        """What a report has, the manual explains."""
        with open(os.path.join(build.ROOT, "build", "man", "reqmeter-fields.5"), encoding="utf-8") as page:
            known = {line[5:].replace("\\-", "-").strip() for line in page if line.startswith(".B \\&")}
        known |= {name.partition(".")[0] for name in known}  # an object may be null as a whole
        with Program(HTTP) as server:
            server.get("manual")
            report = agent.poll_until(lambda: (found := METER.stats(scope="pid:%d" % server.pid))["requests"]["recent"]
                                      and found, 10)
        for section in self.SECTIONS:
            with self.subTest(section):
                names = member_names(report[section])
                self.assertTrue(names)
                # Lists are explained by their rows; an object of its own may be explained by its members' last names.
                self.assertEqual([], sorted(name for name in names if name not in known and
                                            name.rpartition(".")[2] not in known))


if __name__ == "__main__":
    unittest.main()
