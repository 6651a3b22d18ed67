"""What the tools here have in common that end a relay again and again: the relay under test and its
configuration, clients that submit without pause, and the next hop that stores what arrives. What is
sent, what counts as promised and what may become of it is each tool's own. power_cut.py and
crash_loop.py use it. Python's standard library only."""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from datetime import datetime

# At once to one site, and altogether.
CONNECTIONS = 8


class Broken(Exception):
    """The tool can't go on: the relay does not run, or what it left is not what the tool can read."""


def judged(directory, run):
    """Whether `run` found anything wrong, or could not go on; says where to look then."""
    try:
        bad = run()
    except Broken as trouble:
        print(f"stopped: {trouble}")
        bad = True
    if bad:
        print(f"kept: {directory}")
    return bad


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def digest_of(content):
    """Of all but the Received field in front, folded lines and all."""
    end = content.index(b"\r\n") + 2
    while content[end:end + 1] in (b" ", b"\t"):
        end = content.index(b"\r\n", end) + 2
    return hashlib.sha256(content[end:]).digest()


# ---- The relay


def configuration(spool, port, routes, segment, first_retry, helo="relay.test"):
    """For a relay on this port, which calls itself `helo` to its next hops; `routes`: name, domains
    and port of each."""
    return f"""
[relay]
hostname = "relay.test"
[log]
level = "warning"
[history]
keep = "0s"
[[listener]]
name = "relay"
listen = ["127.0.0.1:{port}"]
[spool]
directory = "{spool}"
segment_size = "{segment}"
min_free_space = "64MiB"
[rewriting]
add_missing_headers = false
[retry]
first = "{first_retry}"
factor = 1.0
[sites]
connections_max = {CONNECTIONS}
backoff_first = "1s"
[delivery]
helo = "{helo}"
max_connections = {CONNECTIONS}
""" + "".join(f"""[[route]]
name = "{name}"
domains = ["{domains}"]
hosts = ["127.0.0.1:{host_port}"]
""" for name, domains, host_port in routes)


class Relay:
    """Works in `directory`: ekiden.toml is there, and relay.log grows."""

    def __init__(self, binary, directory, port):
        self.binary, self.directory, self.port = binary, directory, port
        self.child, self.launched = None, 0

    def start(self, **environment):
        with open(f"{self.directory}/relay.log", "ab") as log:
            self.child = subprocess.Popen(
                [self.binary, "serve", "--config", f"{self.directory}/ekiden.toml"],
                stdout=log, stderr=log, env=dict(os.environ, **environment))
        self.launched = time.monotonic()

    def await_listener(self):
        """Seconds since its start."""
        while time.monotonic() < self.launched + 60:
            if self.child.poll() is not None:
                raise Broken(f"the relay did not start: status {self.child.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return time.monotonic() - self.launched
            except OSError:
                time.sleep(0.002)
        raise Broken("the relay does not listen")

    def kill(self):
        """Ends it at once; when."""
        if self.child.poll() is not None:
            raise Broken(f"the relay ended by itself: status {self.child.returncode}")
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        return time.time()

    def stop(self, seconds):
        """Its exit status; None when it had to be killed, or never ran."""
        if self.child is None:
            return None
        if self.child.poll() is None:
            self.child.terminate()
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            return None


# ---- Before it


class Client:
    """One connection to the relay."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()

    def send(self, *commands):
        """Without waiting for replies."""
        self.socket.sendall("".join(command + "\r\n" for command in commands).encode())

    def send_content(self, content):
        """CRLF lines; dots are stuffed here, and the final one follows."""
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        self.socket.sendall((b"." if stuffed[:1] == b"." else b"") + stuffed + b".\r\n")

    def reply(self):
        """The last line of the next reply."""
        while True:
            line = self.stream.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            if line[3:4] != b"-":
                return line.decode(errors="replace").rstrip()

    def ask(self, command):
        self.send(command)
        return self.reply()

    def expect(self, beginning):
        """Raises OSError for another reply, so that the load goes on with a new connection."""
        reply = self.reply()
        if not reply.startswith(beginning):
            raise OSError(reply)


class Load:
    """Clients that submit without pause and connect anew when the relay has gone. A tool's own load
    says what to submit, and guards with `lock` what it writes down."""

    def __init__(self, port, clients, seed):
        self.port, self.over = port, False
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self.run, args=(n, random.Random(seed * 1000 + n)), daemon=True)
            for n in range(clients)
        ]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join(30)

    def run(self, number, dice):
        count = 0
        while not self.over:
            try:
                with Client(self.port) as client:
                    client.expect("220")
                    client.send("EHLO client.test")
                    client.expect("250")
                    while not self.over:
                        count += 1
                        self.submit(client, f"k{number}-{count}", dice)
            except (OSError, EOFError):
                time.sleep(0.01)

    def submit(self, client, key, dice):
        """One message, known by its key; raises OSError or EOFError when the connection is lost."""
        raise NotImplementedError


# ---- Behind it


class Sink:
    """A next hop that stores what it takes; `reply` as for `ekiden sink`."""

    def __init__(self, binary, port, directory, reply=None):
        self.directory, self.next = directory, 1
        self.child = subprocess.Popen(
            [binary, "sink", "--listen", f"127.0.0.1:{port}", "--print", "none", "--store", directory]
            + (["--reply", reply] if reply else []), stderr=subprocess.DEVNULL)

    def end(self):
        if self.child.poll() is None:
            self.child.terminate()
        self.child.wait()

    def take(self):
        """What was stored since: recipients, time, content, and what the client called itself."""
        while os.path.exists(f"{self.directory}/{self.next:06}.json"):
            path = f"{self.directory}/{self.next:06}"
            with open(f"{path}.json", encoding="utf-8") as file:
                envelope = json.load(file)
            with open(f"{path}.eml", "rb") as file:
                content = file.read()
            os.remove(f"{path}.eml")
            os.remove(f"{path}.json")
            self.next += 1
            when = datetime.fromisoformat(envelope["time"].replace("Z", "+00:00")).timestamp()
            yield envelope["to"], when, content, envelope["helo"]
