# SPDX-License-Identifier: MIT
"""`reqmeter run`: exit codes, whom the command runs as, signals, descendants, and what it prints at the end."""
import concurrent.futures
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import agent
import fixtures
import load

PYTHON = fixtures.PYTHON
SIGNALS = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
           signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU]
USER = "nobody"

# Counts the signals that it gets, says so on a line each, and ends at the file's appearance.
COUNTER = """
import os, signal, sys, time
def tell(number, frame):
    os.write(1, b"got %d\\n" % number)
for number in map(int, sys.argv[2:]):
    signal.signal(number, tell)
os.write(1, b"ready\\n")
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
"""

# What a shell does with a job in the foreground: a process group of its own, and the terminal for it.
SHELL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(child, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    os.write(1, b"stopped\\n")
os.write(1, b"ended %d\\n" % os.waitstatus_to_exitcode(status))
"""

# A server of a few requests. With "daemon", its parent ends at once with 5.
SERVER = """
import http.server, os, sys
http.server.SimpleHTTPRequestHandler.log_message = lambda *words: None
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
if "daemon" in sys.argv:
    if os.fork():
        os._exit(5)
    os.setsid()
    if os.fork():
        os._exit(0)
    with open(sys.argv[4], "w") as out:
        out.write(str(os.getpid()))
for _ in range(int(sys.argv[2])):
    server.handle_request()
"""


def setUpModule():
    """Skips where no agent can run."""
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)


def plain_environment():
    """Without what sudo or the tester's shell may have set."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("SUDO_", "REQMETER_")) and name != "NO_COLOR"}


def sudo_environment(user):
    """As sudo sets it for a command of root's that this user started."""
    entry = pwd.getpwnam(user)
    return dict(plain_environment(), SUDO_UID=str(entry.pw_uid), SUDO_GID=str(entry.pw_gid), SUDO_USER=user,
                SUDO_COMMAND="reqmeter", HOME="/root", USER="root", LOGNAME="root")


def start(*args, env=None, **options):
    """A running `reqmeter run`, output as text."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    return subprocess.Popen([agent.PROGRAM, "run", *args], env=env or plain_environment(), text=True, **options)


def run(*args, **options):
    """A finished one: (exit code, stdout, stderr)."""
    with start(*args, **options) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def side_by_side(function, cases):
    """[function(*case)], as many at once as there are CPUs: each starts an agent, which is a second or two of CPU."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda case: function(*case), cases))


def uids(pid):
    """The four user ids and the groups of a process."""
    with open("/proc/%d/status" % pid) as status:
        text = status.read()
    ids = re.search(r"^Uid:\s+(.*)$", text, re.M).group(1).split()
    groups = re.search(r"^Groups:[ \t]*(.*)$", text, re.M).group(1).split()
    return set(map(int, ids)), set(map(int, groups))


def children(pid):
    """The direct children of a process."""
    return [int(name) for name in filter(str.isdigit, os.listdir("/proc"))
            if fixtures.process_stat("/proc/%s/stat" % name)[1] == pid]


class Case(unittest.TestCase):
    """A directory that everybody can read, for each test."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="reqmeter-")
        os.chmod(self.dir, 0o755)
        self.addCleanup(shutil.rmtree, self.dir, True)

    def path(self, name):
        """A path in the test's directory."""
        return os.path.join(self.dir, name)

    def wait_port(self, port, process):
        """Waits until something listens there."""
        def listens():
            try:
                load.connect(("127.0.0.1", port)).close()
                return True
            except OSError:
                return process.poll() is not None
        self.assertTrue(agent.poll_until(listens, 30))
        self.assertIsNone(process.poll(), "it ended before it listened")


class Exits(Case):
    """What `reqmeter run` exits with, and that it says why in one line."""

    def test_the_commands_own(self):
        """0, others, and 128 + N."""
        cases = (("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143),
                 ("kill -SEGV $$", 139))
        done = side_by_side(run, [("sh", "-c", script) for script, _ in cases])
        for (script, code), (got, _, err) in zip(cases, done):
            with self.subTest(script):
                self.assertEqual(got, code, err)

    def test_what_cannot_be_run(self):
        """126, 127, 125 and 2: one line, and nothing measured."""
        plain = self.path("plain")
        open(plain, "w").close()
        cases = ((["--", "/nonexistent/program"], 127), (["--", "no-such-program-here"], 127),
                 (["--", plain], 126), (["--", "/"], 126), (["-o", "/nonexistent/x", "--", "true"], 125),
                 (["--user", "no-such-user", "--", "true"], 125),
                 (["--listen", "127.0.0.1:1x", "--", "true"], 2), (["--listen", "0.0.0.0:0", "--", "true"], 2),
                 ([], 2), (["--"], 2), (["--nope", "--", "true"], 2), (["--limit", "0", "true"], 2))
        for (args, code), (got, out, err) in zip(cases, side_by_side(run, [args for args, _ in cases])):
            with self.subTest(args):
                self.assertEqual((got, out), (code, ""), err)
                self.assertEqual(len(err.splitlines()), 1, err)
                self.assertTrue(err.startswith("reqmeter run: "), err)

    def test_the_agent_cannot_start(self):
        """125, and the command has not run."""
        with load.socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            code, _, err = run("--listen", address, "--", "touch", self.path("ran"))
        self.assertEqual((code, len(err.splitlines())), (125, 1), err)
        self.assertFalse(os.path.exists(self.path("ran")))

    @unittest.skipUnless(shutil.which("setpriv"), "no setpriv")
    def test_without_privileges(self):
        """125, and the command has not run."""
        program = self.path("reqmeter")
        shutil.copy(agent.PROGRAM, program)
        os.chmod(self.dir, 0o777)
        nobody = pwd.getpwnam(USER)
        command = ["setpriv", "--reuid=%d" % nobody.pw_uid, "--regid=%d" % nobody.pw_gid, "--clear-groups", program,
                   "run", "--", "touch", self.path("ran")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=plain_environment())
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (125, 1), done.stderr)
        self.assertFalse(os.path.exists(self.path("ran")))


class Output(Case):
    """Where it prints, and what."""

    def test_stdout_is_the_commands(self):
        """Every byte of it, and on stderr the command's own comes first."""
        script = "head -c 300000 /dev/zero | tr '\\0' x; echo oops >&2"
        code, out, err = run("sh", "-c", script)
        self.assertEqual((code, out), (0, "x" * 300000))
        self.assertTrue(err.startswith("oops\n\nreqmeter run: sh -c"), err[:200])
        self.assertNotIn("\033", err)

    def test_to_a_file(self):
        """-o keeps stderr for the command; the file is the caller's."""
        target = self.path("report")
        code, out, err = run("-o", target, "--", "true", env=sudo_environment(USER))
        self.assertEqual((code, out, err), (0, "", ""))
        self.assertEqual(os.stat(target).st_uid, pwd.getpwnam(USER).pw_uid)
        with open(target) as report:
            self.assertIn("reqmeter run: true: exit 0 after", report.read())
        run("--output", target, "--", "false")
        with open(target) as report:
            text = report.read()
        self.assertEqual(text.count("reqmeter run:"), 1)
        self.assertIn("exit 1", text)

    def test_json_and_cpu(self):
        """Valid JSON, and the CPU is what the command's own clock says, its exec and its exit more."""
        script = ("import time\nwhile time.process_time() < 0.4: pass\n"
                  "print(time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID), flush=True)")
        code, out, err = run("--json", "--", PYTHON, "-c", script)
        report = json.loads(err)
        cpu_ns, said_ns = report["run"]["cpu_ns"], int(out)
        print("run --json: the command says %.1f ms, the agent %.1f ms" % (said_ns / 1e6, cpu_ns / 1e6))
        self.assertEqual((code, report["run"]["exit_code"], report["run"]["signal"]), (0, 0, None))
        self.assertEqual(report["run"]["command"], [PYTHON, "-c", script])
        self.assertGreaterEqual(cpu_ns, said_ns)
        self.assertLess(cpu_ns, said_ns + 100e6)
        self.assertEqual(report["run"]["background_ns"] + report["run"]["requests_ns"], cpu_ns)
        self.assertEqual(report["requests"]["counts"]["started"], 0)
        self.assertGreaterEqual(report["run"]["wall_ns"], cpu_ns)

    def test_colour_only_on_a_terminal(self):
        """And not with NO_COLOR."""
        cases = (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True))
        for (extra, has_colour), (code, text) in zip(cases, side_by_side(self.on_terminal, [case[:1] for case in cases])):
            with self.subTest(extra):
                self.assertEqual(code, 1)
                self.assertIn("exit 1", text)
                self.assertEqual("\033[" in text, has_colour, text)

    @staticmethod
    def on_terminal(extra):
        """(exit code, what a terminal got on stderr) with these variables."""
        leader, follower = os.openpty()
        try:
            code = run("false", stderr=follower, env=dict(plain_environment(), **extra))[0]
        finally:
            os.close(follower)
        text = os.read(leader, 65536).decode()
        os.close(leader)
        return code, text


class Caller(Case):
    """Under sudo the command runs as who called it."""

    def test_user_groups_and_environment(self):
        """As sudo's caller, unless --user says otherwise."""
        me = pwd.getpwnam(USER)
        script = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME $SUDO_UID $SUDO_USER."
        cases = (([], sudo_environment(USER), me), (["--user", USER], plain_environment(), me),
                 (["--user", str(me.pw_uid)], sudo_environment("root"), me),
                 (["--user", "root"], sudo_environment(USER), pwd.getpwuid(0)))
        done = side_by_side(lambda args, env, _: run(*args, "--", "sh", "-c", script, env=env), cases)
        for (args, _, entry), (code, out, err) in zip(cases, done):
            with self.subTest(args):
                lines = out.splitlines()
                self.assertEqual((code, lines[0], lines[1]), (0, str(entry.pw_uid), str(entry.pw_gid)), err)
                groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
                self.assertEqual(set(map(int, lines[2].split())), set(groups))
                self.assertEqual(lines[3], "%s %s %s ." % (entry.pw_dir, entry.pw_name, entry.pw_name))

    def test_supplementary_groups(self):
        """A user who is in more groups than one, where there is such a one."""
        for entry in pwd.getpwall():
            groups = set(os.getgrouplist(entry.pw_name, entry.pw_gid))
            if len(groups) > 1 and entry.pw_uid:
                break
        else:
            self.skipTest("no user here is in two groups")
        _, out, _ = run("id", "-G", env=sudo_environment(entry.pw_name))
        self.assertEqual(set(map(int, out.split())), groups)

    def test_not_under_sudo(self):
        """Then as whoever started it."""
        self.assertEqual(run("sh", "-c", "id -u; echo $HOME")[1].splitlines(), ["0", os.environ.get("HOME", "")])

    @unittest.skipIf(fixtures.missing_packages(), fixtures.missing_packages())
    def test_gunicorn_as_an_ordinary_user(self):
        """Rows, routes and ids of a server that runs as the caller of sudo, and its CPU by the handlers' own clock."""
        servers = shutil.copytree(fixtures.SERVERS, self.path("servers"), ignore=shutil.ignore_patterns("__pycache__"))
        port, target = agent.free_port(), self.path("report.json")
        with start("--json", "-o", target, "--", "gunicorn", "--chdir", servers, "--bind", "127.0.0.1:%d" % port,
                   "--workers", "2", "app:app", env=sudo_environment(USER)) as process:
            self.wait_port(port, process)
            master = children(process.pid)[0]
            self.assertEqual({uid for pid in (master, *children(master)) for uid in uids(pid)[0]},
                             {pwd.getpwnam(USER).pw_uid})
            plan = [load.Request("GET", "/burn?us=20000", b"")] * 10 + [load.Request("GET", "/none/7", b"")] * 3
            results = load.run(("127.0.0.1", port), plan, 2, keep_alive=False)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        with open(target) as file:
            report = json.load(file)
        rows = {row["id"]: row for row in report["requests"]["recent"]}
        self.assertEqual({result.id for result in results} - rows.keys(), set())
        for result in results:
            row = rows[result.id]
            self.assertEqual(row["status"], result.status)
            if result.handler_cpu_ns:
                self.assertGreaterEqual(row["cpu_ns"], result.handler_cpu_ns)
        self.assertEqual(report["requests"]["counts"]["finished"], len(report["requests"]["recent"]))
        total = sum(row["cpu_ns"] for row in report["requests"]["recent"])
        print("run gunicorn: requests %.1f ms by their rows, %.1f ms in sum; background %.1f ms"
              % (total / 1e6, report["run"]["requests_ns"] / 1e6, report["run"]["background_ns"] / 1e6))
        self.assertAlmostEqual(total, report["run"]["requests_ns"], delta=0.01 * total)
        self.assertGreater(report["run"]["background_ns"], 50e6)
        self.assertEqual([name for name, n in report["agent"]["losses"].items() if n], [])


class Server(Case):
    """Tables of a small server's requests; who else may ask meanwhile."""

    def serve(self, n, *args, env=None, more=()):
        """Starts a server of n requests under run; (process, port)."""
        port = agent.free_port()
        process = start(*args, "--", PYTHON, "-c", SERVER, str(port), str(n), *more, env=env, cwd=self.dir)
        return process, port

    def ask(self, port, path, request_id):
        """One request on a connection of its own; waits until the server listens."""
        def answered():
            try:
                return self.get(port, path, request_id)
            except OSError:
                return None
        return agent.poll_until(answered, 20)

    def get(self, port, path, request_id):
        """The status of a GET."""
        with load.socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            sock.sendall(b"GET %s HTTP/1.0\r\nX-Request-ID: %s\r\n\r\n" % (path.encode(), request_id.encode()))
            answer = b""
            while data := sock.recv(65536):
                answer += data
        return int(answer.split()[1])

    def test_tables(self):
        """Routes and requests, on lines that fit a file's width, where a UUID stands whole however long others are."""
        process, port = self.serve(3)
        uuid = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
        with process:
            statuses = [self.ask(port, path, request_id) for path, request_id in
                        (("/", "one-" + "x" * 200), ("/item/12", uuid), ("/item/13", "three"))]
            _, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, statuses), (0, [200, 404, 404]))
        report = err[err.index("\nreqmeter run:"):]
        self.assertIn("requests  3\n", report)
        self.assertRegex(report, r"GET +/item/\{id\} +2 +0 ")
        self.assertRegex(report, r"GET +/item/\{id\} +404 .* three ")
        self.assertRegex(report, r"CPU +\S+ = \S+ for requests \+ \S+ background")
        self.assertNotIn("lost", report)
        self.assertIn(uuid, report)
        self.assertEqual([line for line in report.splitlines() if len(line) > 140], [])

    def test_nothing_listens(self):
        """Unless it is asked to, and then the report can be read while the command runs."""
        process, port = self.serve(2)
        with process:
            self.assertEqual(self.ask(port, "/", "first"), 200)
            self.assertEqual(self.listening(process.pid), 0)
            self.assertEqual(self.get(port, "/", "second"), 200)
            process.communicate(timeout=60)
        socket_path = self.path("agent.sock")
        process, port = self.serve(2, "--listen", "unix:" + socket_path)
        with process:
            self.assertEqual(self.ask(port, "/", "first"), 200)
            done = subprocess.run([agent.PROGRAM, "stats", "--agent", "unix:" + socket_path, "--id", "first", "--wait",
                                   "10s"], capture_output=True, text=True, timeout=60, env=plain_environment())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("first", done.stdout)
            self.assertEqual(self.get(port, "/", "second"), 200)
            process.communicate(timeout=60)
        self.assertFalse(os.path.exists(socket_path))

    def listening(self, pid):
        """How many listening TCP sockets a process has."""
        with open("/proc/%d/net/tcp" % pid) as table:
            inodes = {line.split()[9] for line in list(table)[1:] if line.split()[3] == "0A"}
        links = (os.path.join("/proc/%d/fd" % pid, name) for name in os.listdir("/proc/%d/fd" % pid))
        return sum(os.readlink(link)[8:-1] in inodes for link in links)

    def test_daemon_with_wait_all(self):
        """The command ends at once; what its daemon serves afterwards is in the report, the code is the command's."""
        process, port = self.serve(3, "--wait-all", "--json", more=("daemon", self.path("pid")))
        with process:
            self.assertTrue(agent.poll_until(lambda: os.path.exists(self.path("pid")), 20))
            for request_id in ("a", "b", "c"):
                self.assertEqual(self.ask(port, "/", request_id), 200)
            _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 5)
        rows = json.loads(err[err.index('{"run"'):])["requests"]["recent"]
        self.assertEqual([row["id"] for row in rows], ["c", "b", "a"])

    def test_daemon_is_waited_for_until_told_otherwise(self):
        """SIGTERM ends the waiting, not the daemon; without --wait-all nobody waits."""
        side_by_side(self.check_daemon, [("--wait-all",), ()])

    def check_daemon(self, *args):
        """One of the two."""
        pid_file = self.path("pid-%d" % len(args))
        process, port = self.serve(2, *args, more=("daemon", pid_file))
        with process:
            self.assertEqual(self.ask(port, "/", "a"), 200)
            with open(pid_file) as file:
                daemon = int(file.read())
            if args:
                self.assertIsNone(process.poll())
                process.send_signal(signal.SIGTERM)
            process.wait(30)
        self.assertEqual(process.returncode, 5)
        self.assertEqual(self.get(port, "/", "b"), 200, "the daemon went on")
        agent.poll_until(lambda: not os.path.exists("/proc/%d" % daemon), 10)

    def test_request_at_the_very_end(self):
        """The command ends right after its last answer: that request is whole in the report all the same."""
        names = ["last-%d" % i for i in range(5)]
        for name, (status, requests) in zip(names, side_by_side(self.ask_once, [(name,) for name in names])):
            self.assertEqual(status, 200)
            self.assertEqual([row["id"] for row in requests["recent"]], [name])
            self.assertEqual(requests["counts"]["in_flight"], 0)

    def ask_once(self, name):
        """(status, the report's requests) of a server that ends with its first request."""
        process, port = self.serve(1, "--json")
        with process:
            status = self.ask(port, "/", name)
            _, err = process.communicate(timeout=60)
        return status, json.loads(err[err.index('{"run"'):])["requests"]


class Signals(Case):
    """What is passed on."""

    def counter(self, **options):
        """A command that counts signals, under run."""
        process = start("-o", self.path("report"), "--", PYTHON, "-c", COUNTER, self.path("end"),
                        *(str(int(number)) for number in SIGNALS), **options)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def finish(self, process):
        """Lets the command end; what it had got and not been asked for."""
        open(self.path("end"), "w").close()
        rest = process.stdout.read()
        self.assertEqual(process.wait(30), 0)
        process.stderr.close()
        return rest

    def test_sent_by_kill(self):
        """Each once, to the command; run goes on."""
        process = self.counter()
        for number in SIGNALS:
            process.send_signal(number)
            self.assertEqual(process.stdout.readline(), "got %d\n" % number)
        self.assertEqual(self.finish(process), "")

    def test_ctrl_c_reaches_the_command_once(self):
        """The terminal sends it to both, and run does not send it again; a hang-up likewise ends nothing of run's."""
        leader, follower = os.openpty()

        def take_terminal():
            os.setsid()
            import fcntl
            import termios
            fcntl.ioctl(follower, termios.TIOCSCTTY, 0)

        process = self.counter(stdin=follower, preexec_fn=take_terminal)
        for key, number in ((b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)):
            os.write(leader, key)
            self.assertEqual(process.stdout.readline(), "got %d\n" % number)
        # Had it been passed on, it would come before this one.
        process.send_signal(signal.SIGUSR1)
        self.assertEqual(process.stdout.readline(), "got %d\n" % signal.SIGUSR1)
        self.assertEqual(self.finish(process), "")
        os.close(follower)
        os.close(leader)

    def test_job_control(self):
        """Ctrl-Z stops the command and run together, as a shell expects; SIGCONT continues both."""
        leader, follower = os.openpty()
        shell = subprocess.Popen([PYTHON, "-c", SHELL, agent.PROGRAM, "run", "-o", self.path("report"), "--", PYTHON, "-c",
                                  COUNTER, self.path("end")], stdin=follower, stdout=subprocess.PIPE, text=True,
                                 env=plain_environment(), start_new_session=True, pass_fds=(follower,))
        self.addCleanup(shell.stdout.close)
        self.assertEqual(shell.stdout.readline(), "ready\n")
        reqmeter = children(shell.pid)[0]
        command = children(reqmeter)[0]
        os.write(leader, b"\x1a")
        self.assertEqual(shell.stdout.readline(), "stopped\n")
        states = lambda: {fixtures.process_stat("/proc/%d/stat" % pid)[0] for pid in (reqmeter, command)}
        self.assertTrue(agent.poll_until(lambda: states() == {"T"}, 10), states())
        os.killpg(reqmeter, signal.SIGCONT)
        self.assertTrue(agent.poll_until(lambda: "T" not in states(), 10), states())
        open(self.path("end"), "w").close()
        self.assertEqual(shell.stdout.readline(), "ended 0\n")
        shell.wait(30)
        os.close(follower)
        os.close(leader)

    def test_a_signal_that_ends_the_command(self):
        """128 + N, and there is a report."""
        process = start("sleep", "60")
        with process:
            self.assertTrue(agent.poll_until(lambda: any(
                open("/proc/%d/comm" % pid).read() == "sleep\n" for pid in children(process.pid)), 20))
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        self.assertIn("ended by signal 15 (TERM)", err)

    def test_the_command_inherits_what_was_there(self):
        """Its signal mask and its ignored signals are ours from before; none of run's descriptors are open in it."""
        script = ("import os, signal\n"
                  "print(sorted(map(int, signal.pthread_sigmask(0, []))),"
                  " signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN, sorted(map(int, os.listdir('/proc/self/fd')))[:-1])")

        def prepare():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)

        _, out, err = run(PYTHON, "-c", script, preexec_fn=prepare)
        self.assertEqual(out, "[%d] True [0, 1, 2]\n" % signal.SIGUSR1, err)

    def test_run_dies_before_the_command_runs(self):
        """A command that was never let go never runs."""
        side_by_side(self.check_killed, [(0.02,), (0.1,), (0.3,)])

    def check_killed(self, delay):
        """Run is killed after so many seconds."""
        process = start("--", "sh", "-c", "echo $$; sleep 0.2")
        time.sleep(delay)
        waiting = children(process.pid)
        process.kill()
        process.communicate(timeout=30)
        self.assertTrue(agent.poll_until(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in waiting), 10))


if __name__ == "__main__":
    unittest.main()
