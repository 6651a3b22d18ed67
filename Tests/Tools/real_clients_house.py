"""The house that real_clients.py invites its guests to: certificates, users, a relay with one
listener for each way in, and the next hop, which keeps what arrives. Python's standard library and
the `openssl` command only."""

import contextlib
import os
import re
import socket
import subprocess
import threading
import time

from test_bed import Broken, Relay, free_port

# Without =, which sSMTP can't have in a password.
USER, PASSWORD = "anna", "a-secret+word7"
# The user that the client certificate stands for.
PRINTER = "printer-3"


def openssl(*arguments):
    run = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise Broken(f"openssl {arguments[0]}: {run.stderr}")
    return run.stdout


def make_certificates(directory, key):
    """An authority, the relay's certificate by it, and a printer's that nobody vouches for; the
    printer's fingerprint."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    own = ["-newkey", *key, "-nodes"]

    def at(name):
        return f"{directory}/{name}"

    openssl("req", "-x509", *curve, "-keyout", at("ca.key"), "-out", at("ca.pem"), "-days", "7",
            "-subj", "/CN=Test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", *own, "-keyout", at("relay.key"), "-out", at("relay.csr"),
            "-subj", "/CN=localhost")
    with open(at("relay.ext"), "w", encoding="ascii") as file:
        file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", at("relay.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"),
            "-CAcreateserial", "-days", "7", "-extfile", at("relay.ext"), "-out", at("relay.pem"))
    openssl("req", "-x509", *curve, "-keyout", at("printer.key"), "-out", at("printer.pem"),
            "-days", "7", "-subj", "/CN=printer")
    with open(at("printer.both"), "w", encoding="ascii") as file:
        for part in ("printer.pem", "printer.key"):
            with open(at(part), encoding="ascii") as source:
                file.write(source.read())
    # msmtp refuses keys that others may read.
    os.chmod(at("printer.key"), 0o600)
    text = openssl("x509", "-in", at("printer.pem"), "-noout", "-fingerprint", "-sha256")
    return text.strip().split("=")[1].lower()


# ---- Behind the relay


class Taken:
    """One message as it arrived."""

    def __init__(self, mail, recipients, content):
        self.mail, self.recipients, self.content = mail, recipients, content

    @property
    def without_received(self):
        """All but the field that the relay put in front."""
        end = self.content.index(b"\r\n") + 2
        while self.content[end:end + 1] in (b" ", b"\t"):
            end = self.content.index(b"\r\n", end) + 2
        return self.content[end:]

    @property
    def protocol(self):
        """The word behind `with` in that field."""
        field = self.content[:-len(self.without_received)].decode()
        found = re.search(r"\bwith\s+(\w+)", field)
        return found and found[1]

    @property
    def body(self):
        return self.content.partition(b"\r\n\r\n")[2]


class NextHop:
    """Speaks SMTP with PIPELINING, 8BITMIME, SMTPUTF8, DSN and SIZE, and keeps all it takes."""

    def __init__(self):
        self.taken = []
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        stream = connection.makefile("rwb")

        def say(text):
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        # A relay that ends takes its connections with it.
        with contextlib.suppress(OSError):
            self.converse(stream, say)
        connection.close()

    def converse(self, stream, say):
        mail, recipients = "", []
        say("220 next.test")
        for line in iter(stream.readline, b""):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            verb = text[:4].upper()
            if verb == "EHLO":
                say("250-next.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
                    "250 SIZE")
            elif verb == "MAIL":
                mail, recipients = text[len("MAIL FROM:"):], []
                say("250 ok")
            elif verb == "RCPT":
                recipients.append(text[len("RCPT TO:"):])
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                content = self.read_content(stream)
                with self.changed:
                    self.taken.append(Taken(mail, recipients, content))
                    self.changed.notify_all()
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                break
            else:
                say("250 ok")

    @staticmethod
    def read_content(stream):
        lines = []
        for line in iter(stream.readline, b""):
            if line == b".\r\n":
                break
            lines.append(line[1:] if line[:1] == b"." else line)
        return b"".join(lines)

    def take(self, key, seconds, recipients=1):
        """What came for `key` (part of each of its recipients), once it is there for that many;
        None if it does not come."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                found = [one for one in self.taken if any(key in to for to in one.recipients)]
                if sum(len(one.recipients) for one in found) >= recipients:
                    return found
                if not self.changed.wait(max(end - time.monotonic(), 0)):
                    return None

    def stop(self):
        self.listener.close()


# ---- The relay


LISTENERS = """
[[listener]]
name = "relay"                                # plain, STARTTLS for who wants it
listen = ["127.0.0.1:{relay}"]
auth = "optional"
max_message_size = "20MiB"
max_connections_per_client = 1000
[[listener]]
name = "clear"                                # who logs in, without TLS, may relay
listen = ["127.0.0.1:{clear}"]
tls = "off"
auth = "optional"
auth_without_tls_for = ["127.0.0.0/8"]
relay_for = ["192.0.2.0/24"]
[[listener]]
name = "submission"
role = "submission"
listen = ["127.0.0.1:{submission}"]
client_certificate = "optional"
relay_for = ["192.0.2.0/24"]
[[listener]]
name = "submissions"
role = "submissions"
listen = ["127.0.0.1:{submissions}"]
client_certificate = "optional"
relay_for = ["192.0.2.0/24"]
[[listener]]
name = "balanced"                             # behind a balancer
listen = ["127.0.0.1:{balanced}"]
proxy_from = ["127.0.0.0/8"]
relay_for = ["192.0.2.0/24"]
[[listener]]
name = "proxied"                              # behind a mail proxy
listen = ["127.0.0.1:{proxied}"]
xclient_from = ["127.0.0.0/8"]
relay_for = ["192.0.2.0/24"]
"""


class House:
    """All of it, running. `port[listener]`, and `file(name)` for certificates: ca.pem, printer.pem,
    printer.key, printer.both."""

    def __init__(self, binary, directory, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        self.directory = directory
        self.hop = NextHop()
        fingerprint = make_certificates(directory, key)
        names = ("relay", "clear", "submission", "submissions", "balanced", "proxied")
        self.port = {name: free_port() for name in names}
        configuration = f"""
[relay]
hostname = "relay.test"
[log]
format = "text"
[control]
socket = "{directory}/control"
[[certificate]]
name = "relay"
chain = "{directory}/relay.pem"
key = "{directory}/relay.key"
[auth]
users = "{directory}/users"
max_failures = 1000                           # all guests come from one address
[[certificate_user]]
name = "{PRINTER}"
fingerprint = "{fingerprint}"
[spool]
directory = "{directory}/spool"
[[route]]
name = "next"
domains = ["*"]
hosts = ["127.0.0.1:{self.hop.port}"]
""" + LISTENERS.format(**self.port)
        with open(self.file("ekiden.toml"), "w", encoding="ascii") as file:
            file.write(configuration)
        for user in (USER, PRINTER):
            run = subprocess.run(
                [binary, "user", "add", user, "--users", self.file("users"), "--password-stdin"],
                input=PASSWORD + "\n", capture_output=True, text=True, check=False)
            if run.returncode != 0:
                raise Broken(f"ekiden user add: {run.stderr}")
        self.relay = Relay(binary, directory, self.port["relay"])
        self.relay.start()
        # They open one after the other.
        for self.relay.port in self.port.values():
            self.relay.await_listener()

    def file(self, name):
        return f"{self.directory}/{name}"

    def log_size(self):
        return os.path.getsize(self.file("relay.log"))

    def log_since(self, size, wanted=None, seconds=3):
        """What the relay has logged since the log had that size; waits for `wanted` in it."""
        end = time.monotonic() + seconds
        while True:
            with open(self.file("relay.log"), "rb") as file:
                file.seek(size)
                text = file.read().decode("utf-8", "replace")
            if wanted is None or wanted in text or time.monotonic() > end:
                return text
            time.sleep(0.02)

    def stop(self):
        """Whether the relay ended as it should."""
        status = self.relay.stop(20)
        self.hop.stop()
        return status == 0
