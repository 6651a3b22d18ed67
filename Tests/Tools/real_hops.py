#!/usr/bin/env python3
"""Lets the relay hand mail to real servers, and looks at what they have in the end: Postfix and Exim by
SMTP (in the clear, under verified TLS, after a login), Dovecot by LMTP (TCP, a socket of the machine,
TLS), whose mailboxes are then read by POP3 and by IMAP. By hand, as root:

    real_hops.py --binary .build/debug/ekiden [--only dovecot,postfix,exim] [--root DIRECTORY]

Each server runs with a configuration of its own on loopback, in a directory of its own. For each way:
a small letter, one with dots and lines of 998 octets, an 8-bit one, one of 10 MB, and one for two
mailboxes of which one is unknown, whose sender gets a report. Servers that are not installed are named
and left out (Debian: postfix, exim4-daemon-light, dovecot-lmtpd, dovecot-pop3d, dovecot-imapd; --root
names a directory in which packages were unpacked). One line for each letter. Exit status 0: all went
well; 1: something did not, and the directory is kept. Python's standard library and `openssl`."""

import argparse
import imaplib
import os
import poplib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from test_bed import Client, free_port

PASSWORD = "the secret of the hop"
HEADER = b"From: <alice@origin.test>\r\nTo: <anna@inside.test>\r\nSubject: %s\r\n" \
    b"Date: Sat, 21 Nov 2026 02:07:58 +0000\r\nMessage-ID: <%s@origin.test>\r\n" \
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" \
    b"Content-Transfer-Encoding: 8bit\r\n\r\n"
BODIES = {
    "small": b"Good morning.\r\n",
    "dots": b".\r\n..\r\n.x\r\n" + b"y" * 998 + b"\r\nend.\r\n.\r\n",
    "eight-bit": "Grüße aus Köln\r\n".encode(),
    "large": (b"x" * 72 + b"\r\n") * 141_000,
}


class Trouble(Exception):
    """Something did not go as it should."""


def found(program, root):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") or next(
        (p for p in (f"{root}/usr/sbin/{program}",) if root and os.path.exists(p)), None)


def eventually(what, check, seconds=30):
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise Trouble(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Bed:
    """A directory with certificates, the relay, and what was started."""

    def __init__(self, options):
        self.options = options
        self.directory = tempfile.mkdtemp(prefix="ekiden-hops-")
        os.chmod(self.directory, 0o755)
        self.children = []
        self.port = free_port()
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-keyout", self.path("key.pem"), "-out",
             self.path("cert.pem")] + subject, check=True, capture_output=True)
        os.chmod(self.path("key.pem"), 0o644)
        self.write("login.password", PASSWORD + "\n", 0o600)

    def path(self, name):
        return f"{self.directory}/{name}"

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def folder(self, name, user):
        os.makedirs(self.path(name), mode=0o755, exist_ok=True)
        owner = pwd.getpwnam(user)
        os.chown(self.path(name), owner.pw_uid, owner.pw_gid)
        return self.path(name)

    def start(self, name, words, **more):
        log = open(self.path(name + ".log"), "ab")
        child = subprocess.Popen(words, stdout=log, stderr=log, **more)
        self.children.append(child)
        return child

    def relay(self, routes):
        """Starts the relay anew with these routes."""
        self.write("ekiden.toml", f"""
[relay]
hostname = "relay.test"
postmaster = "postmaster@origin.test"
[log]
format = "json"
[[listener]]
name = "relay"
listen = ["127.0.0.1:{self.port}"]
[spool]
directory = "{self.path('spool')}"
min_free_space = "64MiB"
[rewriting]
add_missing_headers = false
[retry]
first = "1s"
[sites]
backoff_first = "1s"
[delivery]
tls_authorities = "{self.path('cert.pem')}"
[[login]]
name = "hop"
user = "anna"
password_file = "{self.path('login.password')}"
[[route]]
name = "back"
domains = ["origin.test"]
target = "hold"
{routes}
""")
        child = self.start(
            "relay", [self.options.binary, "serve", "--config", self.path("ekiden.toml")])
        eventually("the relay listens", lambda: answers(self.port))
        return child

    def end(self, child):
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def stop(self):
        for child in reversed(self.children):
            self.end(child)

    def hand(self, content, *recipients):
        with Client(self.port) as client:
            client.expect("220")
            for line in ["EHLO client.test", "MAIL FROM:<alice@origin.test> BODY=8BITMIME"] + [
                    f"RCPT TO:<{recipient}>" for recipient in recipients]:
                client.send(line)
                client.expect("250")
            client.send("DATA")
            client.expect("354")
            client.send_content(content)
            client.expect("250")

    def queue(self):
        return subprocess.run(
            [self.options.binary, "queue", "--json", "--config", self.path("ekiden.toml")],
            check=True, capture_output=True, text=True).stdout


class Maildirs:
    """Reads what a server has put into `directory/USER/new`."""

    def __init__(self, directory):
        self.directory = directory

    def messages(self, user):
        new = f"{self.directory}/{user}/new"
        for name in os.listdir(new) if os.path.isdir(new) else []:
            with open(f"{new}/{name}", "rb") as file:
                yield file.read().replace(b"\r\n", b"\n")


class Server:
    program = user = ""

    def missing(self, root):
        if not found(self.program, root):
            return "it is not installed"
        try:
            pwd.getpwnam(self.user)
        except KeyError:
            return f"there is no user {self.user}"
        return None


class Dovecot(Server):
    user = "dovecot"
    name, program, domain = "dovecot", "dovecot", "inside.test"

    def begin(self, bed):
        self.bed = bed
        self.ports = {name: free_port() for name in ("pop3", "imap", "lmtp")}
        bed.folder("mail", "mail")
        bed.write("passwd", f"anna:{PASSWORD}::::::\nbert:{PASSWORD}::::::\n")
        listeners = "".join(f"""
service {service} {{
  inet_listener {name} {{
    port = {self.ports[name]}
  }}
  inet_listener {name}s {{
    port = 0
  }}
}}""" for service, name in (("pop3-login", "pop3"), ("imap-login", "imap")))
        bed.write("dovecot.conf", f"""
base_dir = {bed.path('run')}
state_dir = {bed.path('state')}
log_path = {bed.path('dovecot.log')}
instance_name = ekiden-hops
protocols = pop3 imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{bed.path('cert.pem')}
ssl_key = <{bed.path('key.pem')}
disable_plaintext_auth = no
auth_mechanisms = plain login scram-sha-256
mail_location = maildir:{bed.path('mail')}/%n
auth_username_format = %n
first_valid_uid = 1
protocol lmtp {{
  postmaster_address = postmaster@inside.test
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n {bed.path('passwd')}
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {bed.path('passwd')}
  default_fields = uid=mail gid=mail home={bed.path('mail')}/%n
}}
service lmtp {{
  inet_listener lmtp {{
    port = {self.ports['lmtp']}
  }}
  unix_listener {bed.path('lmtp')} {{
    mode = 0600
    user = root
  }}
}}
service auth {{
  unix_listener {bed.path('auth')} {{
    mode = 0666
  }}
}}
{listeners}
""")
        bed.start("dovecot-start", ["dovecot", "-F", "-c", bed.path("dovecot.conf")])
        for port in self.ports.values():
            eventually("Dovecot listens", lambda port=port: answers(port))

    def ways(self):
        lmtp = 'target = "lmtp"\nhosts = ["%s"]\n'
        yield "LMTP", lmtp % f"127.0.0.1:{self.ports['lmtp']}" + 'tls = "none"'
        yield "LMTP, TLS", lmtp % f"localhost:{self.ports['lmtp']}" + 'tls = "verify"'
        yield "LMTP by a socket", lmtp % f"unix:{self.bed.path('lmtp')}"

    def messages(self, user):
        """By POP3; the same by IMAP."""
        pop = poplib.POP3("127.0.0.1", self.ports["pop3"])
        pop._MAXLINE = poplib._MAXLINE = 1 << 20
        pop.user(user)
        pop.pass_(PASSWORD)
        by_pop = [b"\n".join(pop.retr(n + 1)[1]) + b"\n" for n in range(pop.stat()[0])]
        pop.quit()
        imap = imaplib.IMAP4("127.0.0.1", self.ports["imap"])
        imap.login(user, PASSWORD)
        count = int(imap.select(readonly=True)[1][0])
        by_imap = [imap.fetch(str(n + 1), "(RFC822)")[1][0][1].replace(b"\r\n", b"\n")
                   for n in range(count)]
        imap.logout()
        return [m for m in by_pop if m in by_imap] if len(by_imap) >= len(by_pop) else []


class Postfix(Server):
    user = "postfix"
    name, program, domain = "postfix", "postfix", "inside.test"

    def begin(self, bed):
        self.bed, self.port = bed, free_port()
        base = bed.path("postfix")
        for name in ("", "/etc", "/queue", "/data"):
            os.makedirs(base + name, mode=0o755, exist_ok=True)
        shutil.chown(base + "/data", "postfix")
        bed.folder("postfix-mail", "mail")
        mail = pwd.getpwnam("mail")
        with open(base + "/etc/boxes", "w", encoding="ascii") as file:
            file.write("anna@inside.test anna/\nbert@inside.test bert/\n")
        with open(base + "/etc/main.cf", "w", encoding="ascii") as file:
            file.write(f"""compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/log
maillog_file_prefixes = {base}
myhostname = localhost
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
smtp_dns_support_level = disabled
message_size_limit = 50000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = inside.test
virtual_mailbox_base = {bed.path('postfix-mail')}
virtual_mailbox_maps = texthash:{base}/etc/boxes
virtual_minimum_uid = 1
virtual_uid_maps = static:{mail.pw_uid}
virtual_gid_maps = static:{mail.pw_gid}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {bed.path('cert.pem')}
smtpd_tls_key_file = {bed.path('key.pem')}
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {bed.path('auth')}
smtpd_sasl_auth_enable = {'yes' if os.path.exists(bed.path('auth')) else 'no'}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
""")
        with open(base + "/etc/master.cf", "w", encoding="ascii") as file:
            file.write(f"127.0.0.1:{self.port} inet n - n - - smtpd\n")
            for line in ("postlog unix-dgram n - n - 1 postlogd", "cleanup unix n - n - 0 cleanup",
                         "qmgr unix n - n 300 1 qmgr", "rewrite unix - - n - - trivial-rewrite",
                         "virtual unix - n n - - virtual", "bounce unix - - n - 0 bounce",
                         "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
                         "error unix - - n - - error", "smtp unix - - n - - smtp",
                         "anvil unix - - n - 1 anvil", "tlsmgr unix - - n 1000? 1 tlsmgr",
                         "proxymap unix - - n - - proxymap"):
                file.write(line + "\n")
        bed.start("postfix-start", ["postfix", "-c", base + "/etc", "start-fg"])
        eventually("Postfix listens", lambda: answers(self.port))
        self.reader = Maildirs(bed.path("postfix-mail"))

    def ways(self):
        host = f'hosts = ["localhost:{self.port}"]\n'
        yield "SMTP", host + 'tls = "none"'
        yield "SMTP, TLS", host + 'tls = "verify"'
        if os.path.exists(self.bed.path("auth")):
            yield "SMTP, TLS, login", host + 'login = "hop"'

    def messages(self, user):
        return list(self.reader.messages(user))


class Exim(Server):
    user = "Debian-exim"
    name, program, domain = "exim", "exim4", "inside.test"

    def begin(self, bed):
        self.bed, self.port = bed, free_port()
        folder = bed.folder("exim-mail", "Debian-exim")
        spool = bed.folder("exim-spool", "Debian-exim")
        bed.write("exim.conf", f"""
exim_path = {found(self.program, bed.options.root)}
spool_directory = {spool}
log_file_path = {spool}/%slog
pid_file_path = {spool}/pid
primary_hostname = localhost
daemon_smtp_ports = {self.port}
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = {bed.path('cert.pem')}
tls_privatekey = {bed.path('key.pem')}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
message_size_limit = 50M
never_users =
deliver_drop_privilege = true
begin acl
rcpt:
  require domains = inside.test
  accept local_parts = anna : bert
  deny message = 5.1.1 no such mailbox
begin routers
boxes:
  driver = accept
  domains = inside.test
  local_parts = anna : bert
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {folder}/$local_part_data
  maildir_format
  user = Debian-exim
  group = Debian-exim
  create_directory
""")
        # With a configuration other than its own Exim is its own user for good, and delivers as that.
        bed.start("exim-start", [found(self.program, bed.options.root), "-C",
                                 bed.path("exim.conf"), "-bdf", "-q1s"])
        eventually("Exim listens", lambda: answers(self.port))
        self.reader = Maildirs(folder)

    def ways(self):
        host = f'hosts = ["localhost:{self.port}"]\n'
        yield "SMTP", host + 'tls = "none"'
        yield "SMTP, TLS", host + 'tls = "verify"'

    def messages(self, user):
        return list(self.reader.messages(user))


class Tour:
    def __init__(self, bed):
        self.bed, self.letters, self.failed = bed, 0, 0

    def case(self, what, check):
        self.letters += 1
        began = time.monotonic()
        try:
            check()
            print(f"ok      {what} ({time.monotonic() - began:.1f} s)", flush=True)
        except (Trouble, OSError, EOFError) as trouble:
            self.failed += 1
            print(f"FAILED  {what}: {trouble}", flush=True)

    def arrive(self, server, way, kind):
        key = f"{server.name}-{way}-{kind}".replace(" ", "-").replace(",", "").encode()
        content = HEADER % (kind.encode(), key) + BODIES[kind]
        self.bed.hand(content, "anna@inside.test")
        text = content.replace(b"\r\n", b"\n")

        def here():
            mine = [m for m in server.messages("anna") if key in m]
            if len(mine) > 1:
                raise Trouble(f"{len(mine)} times")
            return mine
        message = eventually("the letter is in the mailbox", here, 60)[0]
        if not message.endswith(text):
            raise Trouble("it is not what was sent")

    def part(self, server, way):
        key = f"{server.name}-{way}-part".replace(" ", "-").replace(",", "").encode()
        before = self.bed.queue().count("alice@origin.test")
        self.bed.hand(HEADER % (b"part", key) + BODIES["small"],
                      "bert@inside.test", "nobody@inside.test")
        eventually("the letter is in the one mailbox",
                   lambda: [m for m in server.messages("bert") if key in m])
        eventually("a report on the other goes back",
                   lambda: self.bed.queue().count("alice@origin.test") == before + 1)

    def visit(self, server):
        server.begin(self.bed)
        for way, lines in server.ways():
            relay = self.bed.relay(f'[[route]]\nname = "hop"\ndomains = ["inside.test"]\n{lines}\n')
            for kind in BODIES:
                self.case(f"{server.name}: {way}: {kind}",
                          lambda kind=kind, way=way: self.arrive(server, way, kind))
            self.case(f"{server.name}: {way}: one of two mailboxes",
                      lambda way=way: self.part(server, way))
            self.bed.end(relay)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--only", default="dovecot,postfix,exim")
    parser.add_argument("--root", help="where packages are unpacked")
    parser.add_argument("--keep", action="store_true", help="keep the directory")
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    if os.geteuid() != 0:
        sys.exit("the servers want root")
    bed = Bed(options)
    tour = Tour(bed)
    try:
        for server in (Dovecot(), Postfix(), Exim()):
            if server.name not in options.only.split(","):
                continue
            missing = server.missing(options.root)
            if missing:
                print(f"skipped {server.name}: {missing}")
                continue
            try:
                tour.visit(server)
            except Trouble as trouble:
                tour.failed += 1
                print(f"FAILED  {server.name}: {trouble}")
    finally:
        bed.stop()
    print(f"{tour.letters} letters; {tour.failed} failed")
    if tour.failed or options.keep:
        print(f"kept: {bed.directory}")
    else:
        shutil.rmtree(bed.directory, ignore_errors=True)
    sys.exit(1 if tour.failed else 0)


if __name__ == "__main__":
    main()
