#!/usr/bin/env python3
"""POP-before-SMTP with a real Dovecot: a login by POP3 or IMAP lets its client relay for a while.

Starts a Dovecot of its own on loopback (its own directory, free ports, a passwd-file, the post-login
script of docs/POLICY.md) and an Ekiden beside it, and looks at what clients of several addresses may
do before and after they logged in. Needs Dovecot (Debian: dovecot-pop3d, dovecot-imapd; its service
need not run) and root, since Dovecot changes users. Not a part of deploy/test.

    Tests/Tools/dovecot_login.py [--ekiden .build/debug/ekiden]

Exits with 0 when all went as documented, 77 when there is no Dovecot.
"""

import argparse
import imaplib
import os
import poplib
import pwd
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def documented_script(ekiden, control):
    """The script as docs/POLICY.md has it, with this run's paths."""
    with open(os.path.join(ROOT, "docs", "POLICY.md"), encoding="utf-8") as f:
        text = f.read()
    script = re.search(r"```sh\n(#!/bin/sh\n.*?)```", text, re.S).group(1)
    assert "/usr/bin/ekiden allow" in script, script
    return script.replace("/usr/bin/ekiden allow", f"{ekiden} allow --socket {control}")


def documented_services():
    """The services of dovecot.conf as docs/POLICY.md has them."""
    with open(os.path.join(ROOT, "docs", "POLICY.md"), encoding="utf-8") as f:
        text = f.read()
    return re.search(r"```\n(service pop3 \{.*?)```", text, re.S).group(1)


def dovecot_configuration(folder, ports, script):
    services = documented_services().replace("/usr/local/libexec/allow-relay", script)
    # The example has the relay's user, who may use its control socket; here that is root.
    services = services.replace("user = ekiden", "user = root")
    return f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
instance_name = ekiden-test
protocols = pop3 imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/passwd
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%u
}}
first_valid_uid = 1
service pop3-login {{
  inet_listener pop3 {{
    port = {ports['pop3']}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {ports['imap']}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
{services}
"""


def relay_configuration(folder, port):
    return f"""
[relay]
hostname = "relay.test"
postmaster = "postmaster@relay.test"

[spool]
directory = "{folder}/spool"
segment_size = "4MiB"
min_free_space = "0B"

[delivery]
port = 1

[[listener]]
name = "relay"
listen = ["127.0.0.1:{port}"]
relay_for = ["10.0.0.0/8"]

[[route]]
name = "nowhere"
domains = ["*"]
hosts = ["127.0.0.1:1"]
"""


class World:
    def __init__(self, ekiden, folder):
        self.ekiden = ekiden
        self.folder = folder
        self.control = f"{folder}/spool/control.socket"
        self.ports = {name: free_port() for name in ("pop3", "imap", "smtp")}
        self.children = []

    def write(self, name, text, mode=0o644):
        path = f"{self.folder}/{name}"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def start(self):
        mail = pwd.getpwnam("mail")
        os.chmod(self.folder, 0o755)
        os.mkdir(f"{self.folder}/mail")
        os.chown(f"{self.folder}/mail", mail.pw_uid, mail.pw_gid)
        self.write("passwd", "anna:secret\nbert:secret\n")
        script = self.write("allow-relay", documented_script(self.ekiden, self.control), 0o755)
        configuration = self.write(
            "dovecot.conf", dovecot_configuration(self.folder, self.ports, script)
        )
        relay = self.write("ekiden.toml", relay_configuration(self.folder, self.ports["smtp"]))
        log = open(f"{self.folder}/relay.log", "w", encoding="utf-8")
        self.children.append(
            subprocess.Popen([self.ekiden, "serve", "--config", relay], stderr=log)
        )
        self.children.append(subprocess.Popen(["dovecot", "-F", "-c", configuration]))
        for port in self.ports.values():
            self.wait_for(port)

    def wait_for(self, port):
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def stop(self):
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            child.wait(20)

    # What clients do.

    def recipient(self, source):
        """The codes of RCPT from that address."""
        with smtplib.SMTP(
            "127.0.0.1", self.ports["smtp"], "client.test", source_address=(source, 0)
        ) as client:
            client.ehlo()
            client.mail("anna@origin.test")
            code, text = client.rcpt("bob@elsewhere.test")
            return f"{code} {text.decode().split(' ')[0]}"

    def pop3(self, source, password="secret"):
        # poplib binds no source address itself.
        class Client(poplib.POP3):
            def _create_socket(self, timeout):
                return socket.create_connection(
                    (self.host, self.port), 20, source_address=(source, 0)
                )

        client = Client("127.0.0.1", self.ports["pop3"])
        client.user("anna")
        client.pass_(password)
        count = client.stat()[0]
        client.quit()
        return count

    def imap(self, source):
        class Client(imaplib.IMAP4):
            def _create_socket(self, timeout=None):
                return socket.create_connection(
                    (self.host, self.port), 20, source_address=(source, 0)
                )

        client = Client("127.0.0.1", self.ports["imap"])
        client.login("bert", "secret")
        answer = client.select()[0]
        client.logout()
        return answer

    def allowed(self):
        return subprocess.run(
            [self.ekiden, "allow", "--list", "--socket", self.control],
            check=True,
            capture_output=True,
            text=True,
        ).stdout


def check(what, found, expected):
    if found != expected:
        raise SystemExit(f"FAILED: {what}: {found!r} instead of {expected!r}")
    print(f"ok: {what}")


def tell(world):
    anna, bert, eve = "127.0.7.1", "127.0.7.2", "127.0.7.3"
    for source in (anna, bert, eve):
        check(f"{source} may not relay before a login", world.recipient(source), "550 5.7.1")
    check("a login by POP3 works", world.pop3(anna), 0)
    check("its client may relay", world.recipient(anna), "250 2.1.5")
    check("others may not", world.recipient(bert), "550 5.7.1")
    check("a login by IMAP works", world.imap(bert), "OK")
    check("its client may relay", world.recipient(bert), "250 2.1.5")
    try:
        world.pop3(eve, password="guess")
    except poplib.error_proto:
        pass
    check("a failed login allows nothing", world.recipient(eve), "550 5.7.1")
    rows = [line.split() for line in world.allowed().splitlines()[1:]]
    check("both are listed", [row[0] for row in rows], [anna, bert])
    check("for half an hour", all(row[1] in ("29m", "30m") for row in rows), True)
    # The relay is gone: people read their mail all the same.
    world.children[0].terminate()
    world.children[0].wait(20)
    check("without the relay a login works as well", world.pop3(anna), 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ekiden", default=os.path.join(ROOT, ".build/debug/ekiden"))
    parser.add_argument("--keep", action="store_true", help="keep the directory")
    arguments = parser.parse_args()
    if not shutil.which("dovecot"):
        print("there is no Dovecot here; Debian has it in dovecot-pop3d and dovecot-imapd")
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix="ekiden-dovecot-")
    world = World(os.path.abspath(arguments.ekiden), folder)
    try:
        world.start()
        tell(world)
        print("all as documented")
    except BaseException:
        for name in ("dovecot.log", "relay.log"):
            if os.path.exists(f"{folder}/{name}"):
                print(f"--- {name}\n" + open(f"{folder}/{name}", encoding="utf-8").read()[-3000:])
        raise
    finally:
        world.stop()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
