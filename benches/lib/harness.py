"""What the scripts of this folder share: programs started and ended, CPU and memory read from /proc, wrk driven and read.

Python's standard library only. Everything listens on loopback. Nothing here decides what is measured: that is in each `run`.
"""

import atexit
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIB = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")


class Refused(Exception):
    """The run is worth nothing: a program is missing, an answer is wrong, errors were not zero."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def refuse_on_error(main):
    """Runs `main`; a refused run ends with its sentence and status 1."""
    try:
        sys.exit(main())
    except (Refused, OSError, http.client.HTTPException) as error:
        say(f"refused: {error if isinstance(error, Refused) else repr(error)}")
        say(deaths())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


# --- programs ---------------------------------------------------------------------------------------------------------

PACKAGES = {
    "chromium": "chromium",
    "curl": "curl",
    "h2load": "nghttp2-client",
    "haproxy": "haproxy",
    "hey": "hey",
    "nginx": "nginx-light",
    "node": "nodejs",
    "openssl": "openssl",
    "taskset": "util-linux",
    "wrk": "wrk",
}


def which(program):
    extra = "/usr/sbin:/sbin:/usr/local/sbin"
    return shutil.which(program, path=os.environ.get("PATH", "") + ":" + extra)


def install(programs, optional=()):
    """Installs what is missing from Debian; an optional program that cannot be had is reported, not fatal."""
    missing = [p for p in list(programs) + list(optional) if which(p) is None]
    if not missing:
        return
    if which("apt-get") is None:
        need = [p for p in missing if p in programs]
        if need:
            raise Refused(f"missing programs: {', '.join(need)} (no apt-get here to install them with)")
        return
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    say(f"installing {', '.join(PACKAGES[p] for p in missing)}")
    subprocess.run(["apt-get", "update"], **quiet)
    for program in missing:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", PACKAGES[program]], **quiet)
        if which(program) is None and program in programs:
            raise Refused(f"could not install {PACKAGES[program]}")


def install_nginx_stream():
    """nginx relays TCP through a module that Debian packages apart. Returns the line that loads it, or None."""
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    if not os.path.exists(module) and which("apt-get"):
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        say("installing libnginx-mod-stream")
        subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "libnginx-mod-stream"], **quiet)
    return f"load_module {module};" if os.path.exists(module) else None


def evenkeel_binary(given):
    """The binary under test: the one named, or a fresh release build."""
    if given:
        if not os.access(given, os.X_OK):
            raise Refused(f"{given} is not an executable file")
        return os.path.abspath(given)
    say("building evenkeel (cargo build --release)")
    if subprocess.run(["cargo", "build", "--release", "-p", "evenkeel"], cwd=REPO, stdin=subprocess.DEVNULL).returncode:
        raise Refused("evenkeel does not build")
    return os.path.join(target_folder(), "release", "evenkeel")


def target_folder():
    """Asked of cargo, since it may be set from outside."""
    described = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=REPO, capture_output=True)
    return json.loads(described.stdout)["target_directory"]


def handshakes_binary():
    """The load generator for TLS handshakes, which is an example of the test kit."""
    say("building the handshake load (cargo build --release -p evenkeel-testkit --example handshakes)")
    command = ["cargo", "build", "--release", "-p", "evenkeel-testkit", "--example", "handshakes"]
    if subprocess.run(command, cwd=REPO, stdin=subprocess.DEVNULL).returncode:
        raise Refused("the handshake load does not build")
    return os.path.join(target_folder(), "release", "examples", "handshakes")


def certificate(folder, name, kind):
    """A self-signed certificate and its key in one file: `rsa` of 2048 bits or `p256`."""
    path, key = os.path.join(folder, f"{name}.pem"), os.path.join(folder, f"{name}.key")
    how = ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = [which("openssl"), "req", "-x509", "-newkey", *how, "-nodes", "-days", "30", "-subj", "/CN=bench.example"]
    command += ["-addext", "subjectAltName=DNS:bench.example,IP:127.0.0.1", "-keyout", key, "-out", path]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"openssl makes no certificate: {done.stderr.strip()}")
    with open(path, "a") as file, open(key) as private:
        file.write(private.read())
    return path


def version_of(command):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"


def scratch(in_memory=True):
    """A folder that goes away at the end; in memory where the machine offers that, so that no disk is measured."""
    base = "/dev/shm" if in_memory and os.access("/dev/shm", os.W_OK) else None
    path = tempfile.mkdtemp(prefix="evenkeel-bench-", dir=base)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    # An nginx started by root gives its workers to another user, who must reach the files.
    os.chmod(path, 0o755)
    return path


def raise_fd_limit(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        except (ValueError, OSError):
            pass
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit < wanted:
        raise Refused(f"{wanted} open files are needed and the hard limit is {hard} (ulimit -Hn)")


_ports_given = set()


def free_port():
    """A port nobody listens on now. Held below the ephemeral range, where no outgoing connection can take it."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low = int(file.read().split()[0])
    for port in range(max(low - 1, 10000), 10000, -1):
        if port in _ports_given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port
    raise Refused("no free port")


_started = []


def deaths():
    """What the programs said that ended without being asked to; each is told of once."""
    told = []
    for process in _started:
        if not process.stopped and not process.alive():
            process.stopped = True
            lines = process.tail(1000).strip().splitlines()
            # The cause stands at the top of a long report, and at the end of a log.
            shown = lines if len(lines) <= 12 else lines[:6] + ["..."] + lines[-4:]
            told.append(f"{process.name} ended with status {process.child.returncode}:\n" + "\n".join(shown))
    return "\n".join(told)


class Process:
    """A program of ours, its descendants included, ended when the script ends."""

    def __init__(self, name, command, log, cpus=None, cwd=None):
        self.name = name
        self.log = log
        self.stopped = False
        if cpus is not None:
            command = ["taskset", "-c", cpus] + command
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd, start_new_session=True
            )
        _started.append(self)
        atexit.register(self.stop)

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def tail(self, lines=15):
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def wait_port(self, port, seconds=15):
        """Until something accepts on `port`; refuses when the program ends or the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.alive():
                raise Refused(f"{self.name} ended with status {self.child.returncode}:\n{self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise Refused(f"{self.name} does not listen on port {port} after {seconds} s:\n{self.tail()}")

    def kill(self):
        """Ends the program without a chance to say goodbye, its children too."""
        if not self.stopped:
            self.stopped = True
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def stop(self, grace=5):
        """Asks the program to end, and ends it with its children when it does not."""
        if self.stopped or not self.alive():
            return
        os.killpg(self.child.pid, signal.SIGTERM)
        try:
            # The leader is reaped by kill() only, so that its number cannot be another's when the group is killed.
            deadline = time.monotonic() + grace
            while time.monotonic() < deadline and not os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                time.sleep(0.02)
        finally:
            self.kill()

    def pids(self):
        """The process and all its descendants: nginx works in children."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = _stat(entry)
                if fields:
                    parents.setdefault(int(fields[1]), []).append(int(entry))
        found, queue = [], [self.child.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += parents.get(pid, [])
        return found

    def cpu(self):
        """(user, system) CPU seconds so far, over all threads and descendants."""
        user = system = 0
        for pid in self.pids():
            fields = _stat(pid)
            if fields:
                user += int(fields[11])
                system += int(fields[12])
        return user / TICK, system / TICK

    def rss(self):
        """Resident bytes, shared pages counted once per process."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/status") as file:
                    found = re.search(r"VmRSS:\s+(\d+) kB", file.read())
            except OSError:
                continue
            if found:
                total += int(found.group(1)) * 1024
        return total

    def threads(self):
        return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self.pids())


def _stat(pid):
    """The fields of /proc/PID/stat from `state` on, so that a name with spaces does no harm."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def settled_rss(process, seconds=10):
    """Resident bytes once three readings in a row agree to 0.5 %; the last reading when they never do."""
    readings = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        readings.append(process.rss())
        last = readings[-3:]
        if len(last) == 3 and max(last) - min(last) <= max(last) * 0.005:
            break
        time.sleep(0.25)
    return readings[-1]


# --- requests ---------------------------------------------------------------------------------------------------------


def get(port, path, headers=None, connection=None, timeout=10):
    """One GET; returns (status, headers, body, connection). Pass the connection back in to reuse it."""
    connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    return response.status, response.headers, response.read(), connection


def metric(admin_port, name, labels=""):
    """A sample of /metrics by name and literal label text; None when it is not there."""
    body = get(admin_port, "/metrics")[2].decode()
    found = re.search(r"^" + re.escape(name + labels) + r" (\S+)$", body, re.M)
    return float(found.group(1)) if found else None


def until(what, condition, seconds=10, every=0.1):
    """Waits for `condition()` to be true and returns its value; refuses with `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = condition()
        except (OSError, http.client.HTTPException):
            value = None
        if value:
            return value
        if time.monotonic() > deadline:
            raise Refused(f"after {seconds} s still not so: {what}")
        time.sleep(every)


# --- load -------------------------------------------------------------------------------------------------------------


class Wrk:
    """A running wrk; `result()` waits for it, `finish()` asks it to stop now."""

    def __init__(self, url, connections, seconds, cpus=None, headers=(), threads=1):
        command = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s"]
        for header in headers:
            command += ["-H", header]
        command += ["-s", os.path.join(LIB, "report.lua"), url]
        if cpus is not None:
            command = ["taskset", "-c", cpus] + command
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        atexit.register(self._end)

    def _end(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def running(self):
        return self.child.poll() is None

    def finish(self):
        if self.running():
            self.child.send_signal(signal.SIGINT)
        return self.result()

    def result(self):
        out, err = self.child.communicate()
        found = re.search(r"^REPORT (.*)$", out, re.M)
        if self.child.returncode or not found:
            raise Refused(f"wrk failed with status {self.child.returncode}: {(err or out).strip()}")
        report = json.loads(found.group(1))
        report["errors"] = {k: v for k, v in report["errors"].items() if v}
        return report


def wrk(*arguments, **options):
    return Wrk(*arguments, **options).result()


def _pinned(command, cpus, what):
    if cpus is not None:
        command = ["taskset", "-c", cpus] + command
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"{what} failed with status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def h2load(url, connections, streams, seconds, cpus=None, headers=()):
    """h2load for some seconds. It measures a mean and no percentiles, which are None here."""
    command = ["h2load", "-t", "1", "-c", str(connections), "-m", str(streams), "-D", str(seconds), "--warm-up-time", "0"]
    for header in headers:
        command += ["-H", header]
    out = _pinned(command + [url], cpus, "h2load")
    counts = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
    if not counts or "Application protocol: h2" not in out:
        raise Refused(f"h2load did not speak HTTP/2: {out.strip()}")
    _, done, good, failed, errored, late = (int(n) for n in counts.groups())
    status = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
    other = sum(int(n) for n in status.groups()[1:]) if status else 0
    errors = {k: v for k, v in {"failed": failed, "errored": errored, "timeout": late, "status": other, "unanswered": done - good}.items() if v}
    return {"requests": good, "seconds": seconds, "errors": errors, "p50": None, "p99": None, "p999": None}


def handshakes(binary, port, path, connections, seconds, cpus=None, resume=False):
    """TLS connections with one request each, one after the other on each of `connections`."""
    command = [binary, f"127.0.0.1:{port}", path, "--connections", str(connections), "--seconds", str(seconds)]
    report = json.loads(_pinned(command + (["--resume"] if resume else []), cpus, "the handshake load"))
    report["errors"] = {report["error"]: report["errors"]} if report["errors"] else {}
    return report


# --- text -------------------------------------------------------------------------------------------------------------


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def table(rows, markdown=False):
    """Rows of text, the first being the head; the first column left-aligned, the others right-aligned."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]

    def line(row):
        cells = [str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        return "| " + " | ".join(cells) + " |" if markdown else "  ".join(cells).rstrip()

    if markdown:
        rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    else:
        rule = "  ".join("-" * w for w in widths)
    return "\n".join([line(rows[0]), rule] + [line(row) for row in rows[1:]])
