"""Mail servers and proxies that real_clients.py lets send through the relay: Postfix and Exim as
hosts that pass everything on to it, HAProxy and nginx as what stands before it. Each runs with a
configuration of its own in the tool's directory, on loopback, and ends with its case. Postfix and
Exim want root."""

import http.server
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time

from real_clients_guests import Guest, Run, Way, run
from real_clients_house import PASSWORD, USER
from test_bed import free_port


def found(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") or next(
        (path for path in (f"{Guest.root}/usr/sbin/{program}",) if os.path.exists(path)), None)


class Server:
    name = program = ""
    needs_root = True

    def missing(self):
        if not found(self.program):
            return f"{self.program} is not installed"
        if self.needs_root and os.geteuid() != 0:
            return "it needs root"
        return None

    def visit(self, party, letter):
        raise NotImplementedError


class Postfix(Server):
    """A house's own Postfix, with the relay as its smarthost: SASL, TLS, PIPELINING, DSN."""
    name = "Postfix"
    program = "postfix"

    def set_up(self, party):
        """Its directories; returns the configuration's."""
        base = party.house.file("postfix")
        for name in ("", "/etc", "/queue", "/data"):
            os.makedirs(base + name, mode=0o755, exist_ok=True)
        shutil.chown(f"{base}/data", "postfix")
        with open(f"{base}/etc/main.cf", "w", encoding="ascii") as file:
            file.write(f"""compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/log
maillog_file_prefixes = {base}
myhostname = guest.test
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = static:{USER}:{PASSWORD}
smtp_tls_CAfile = {party.house.file("ca.pem")}
smtp_tls_security_level = may
smtp_dns_support_level = disabled
smtp_host_lookup = native
header_checks =
always_add_missing_headers = no
minimal_backoff_time = 1s
queue_run_delay = 1s
""")
        with open(f"{base}/etc/master.cf", "w", encoding="ascii") as file:
            for line in ("postlog unix-dgram n - n - 1 postlogd", "pickup unix n - n 60 1 pickup",
                         "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr",
                         "rewrite unix - - n - - trivial-rewrite", "smtp unix - - n - - smtp",
                         "relay unix - - n - - smtp", "bounce unix - - n - 0 bounce",
                         "defer unix - - n - 0 bounce", "error unix - - n - - error",
                         "tlsmgr unix - - n 1000? 1 tlsmgr", "scache unix - - n - 1 scache",
                         "showq unix n - n - - showq", "retry unix - - n - - error",
                         "trace unix - - n - 0 bounce"):
                file.write(line + "\n")
        return f"{base}/etc"

    def visit(self, party, letter):
        etc = self.set_up(party)
        ways = [("in the clear", Way("relay"), "ESMTP", ["smtp_tls_security_level=none",
                                                         "smtp_sasl_auth_enable=no"]),
                ("STARTTLS", Way("relay", "starttls"), "ESMTPS", ["smtp_tls_security_level=encrypt",
                                                                 "smtp_sasl_auth_enable=no"]),
                ("STARTTLS, login", Way("submission", "starttls"), "ESMTPSA",
                 ["smtp_tls_security_level=encrypt", "smtp_sasl_auth_enable=yes"]),
                ("TLS from the first byte, login", Way("submissions", "implicit"), "ESMTPSA",
                 ["smtp_tls_security_level=encrypt", "smtp_tls_wrappermode=yes",
                  "smtp_sasl_auth_enable=yes"])]
        started = run(["postfix", "-c", etc, "start"])
        if started.status != 0:
            party.report("Postfix", "it does not start", started.transcript, "", 0)
            return
        try:
            print("        Postfix " + run(["postconf", "-c", etc, "-h", "mail_version"]).transcript
                  .strip(), flush=True)
            for what, way, protocol, settings in ways:
                mail = letter(party.key(), "dots", recipients=30)
                settings += [f"relayhost=[127.0.0.1]:{party.house.port[way.listener]}"]

                def act():
                    run(["postconf", "-c", etc, *settings])
                    run(["postfix", "-c", etc, "reload"])
                    time.sleep(1)
                    done = run(["sendmail", "-C", etc, "-i", "-N", "failure,delay", "-V", "e42",
                                "-f", mail.sender, *mail.recipients],
                               mail.content.replace(b"\r\n", b"\n"))
                    party.house.hop.take(mail.key, 30, len(mail.recipients))
                    with open(f"{os.path.dirname(etc)}/log", encoding="utf-8") as file:
                        return Run(done.status, done.transcript + file.read()[-3000:])
                party.case(f"Postfix: {what}", act,
                           party.arrival(mail, protocol, Passing, mail_has=["ENVID=e42"],
                                         rcpt_has=["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;"]))
        finally:
            run(["postfix", "-c", etc, "stop"])


class Passing:
    """What servers that pass mail on do to it."""
    composes, adds_fields = False, True


class Exim(Server):
    """The client that sends with BDAT wherever CHUNKING is offered."""
    name = "Exim"
    program = "exim4"

    def missing(self):
        try:
            pwd.getpwnam("Debian-exim")
        except KeyError:
            return super().missing() or "there is no user Debian-exim"
        return super().missing()

    def visit(self, party, letter):
        base = party.house.file("exim")
        os.makedirs(base, exist_ok=True)
        shutil.chown(base, "mail", "mail")
        for what, listener, protocol, text, more in (
                ("BDAT", "relay", "ESMTP", "dots", "hosts_avoid_tls = *"),
                ("BDAT, 10 MB", "relay", "ESMTP", "10 MB", "hosts_avoid_tls = *"),
                ("BDAT, STARTTLS", "relay", "ESMTPS", "8-bit", "hosts_require_tls = *"),
                ("BDAT, STARTTLS, login", "submission", "ESMTPSA", "simple",
                 "hosts_require_tls = *\n  hosts_require_auth = *")):
            mail = letter(party.key(), text, recipients=5)
            path = f"{base}/configure"
            with open(path, "w", encoding="ascii") as file:
                file.write(f"""spool_directory = {base}/spool
log_file_path = {base}/%slog
exim_user = mail
exim_group = mail
primary_hostname = guest.test
message_size_limit = 60M
keep_environment =
begin routers
out:
  driver = manualroute
  transport = out
  route_list = * 127.0.0.1 byname
  self = send
begin transports
out:
  driver = smtp
  port = {party.house.port[listener]}
  hosts_try_chunking = *
  tls_verify_certificates = {party.house.file("ca.pem")}
  {more}
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{USER}^{PASSWORD}
""")
            os.chmod(path, 0o644)

            def act():
                done = run([found(self.program), "-C", path, "-odf", "-i", "-f", mail.sender,
                            "-d-all+transport+deliver", *mail.recipients],
                           mail.content.replace(b"\r\n", b"\n"))
                log = f"{base}/mainlog"
                if os.path.exists(log):
                    with open(log, encoding="utf-8") as file:
                        done.transcript += file.read()[-3000:]
                if "BDAT" not in done.transcript:
                    done.status = done.status or 99
                return done
            party.case(f"Exim: {what}", act, party.arrival(mail, protocol, Passing))


class HAProxy(Server):
    """A balancer before the relay, with both versions of its protocol."""
    name = "HAProxy"
    program = "haproxy"
    needs_root = False

    def visit(self, party, letter):
        for option in ("send-proxy", "send-proxy-v2"):
            port, path = free_port(), party.house.file("haproxy.cfg")
            with open(path, "w", encoding="ascii") as file:
                file.write(f"""defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen mail
  bind 127.0.0.1:{port}
  server relay 127.0.0.1:{party.house.port["balanced"]} {option}
""")
            child = subprocess.Popen([found("haproxy"), "-f", path, "-db"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                mail = letter(party.key())
                # It names 127.0.0.1, which may not relay there: that the relay answers so shows
                # that it took the header.
                commands = ["EHLO guest.test", f"MAIL FROM:<{mail.sender}>",
                            f"RCPT TO:<{mail.recipients[0]}>", "QUIT"]
                party.case(f"HAProxy: {option}", lambda: converse(port, commands),
                           party.refusal("rule=relay-denied"))
            finally:
                child.terminate()
                child.wait()


class Nginx(Server):
    """A mail proxy that logs users in itself and says with XCLIENT who they are."""
    name = "nginx"
    program = "nginx"

    def missing(self):
        module = "/usr/lib/nginx/modules/ngx_mail_module.so"
        return super().missing() or (None if os.path.exists(module) else "no mail module")

    def visit(self, party, letter):
        port = free_port()

        class Oracle(http.server.BaseHTTPRequestHandler):
            """Says to nginx which server a client is for."""

            def do_GET(self):
                self.send_response(200)
                for name, value in (("Auth-Status", "OK"), ("Auth-Server", "127.0.0.1"),
                                    ("Auth-Port", str(party.house.port["proxied"]))):
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        oracle = http.server.HTTPServer(("127.0.0.1", 0), Oracle)
        threading.Thread(target=oracle.serve_forever, daemon=True).start()
        base = party.house.file("nginx")
        os.makedirs(base, exist_ok=True)
        path = f"{base}/nginx.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""load_module /usr/lib/nginx/modules/ngx_mail_module.so;
daemon off;
pid {base}/pid;
error_log {base}/error.log info;
events {{ }}
mail {{
  auth_http 127.0.0.1:{oracle.server_port}/;
  server_name guest.test;
  server {{ listen 127.0.0.1:{port}; protocol smtp; smtp_auth plain; xclient on; }}
}}
""")
        child = subprocess.Popen([found("nginx"), "-c", path, "-e", f"{base}/error.log"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            mail = letter(party.key())
            way = Way("relay", "none", "PLAIN")

            def act():
                for _ in range(50):
                    try:
                        socket.create_connection(("127.0.0.1", port), timeout=1).close()
                        break
                    except OSError:
                        time.sleep(0.1)
                return run(["swaks", "--server", "127.0.0.1", "--port", str(port), "--helo",
                            "guest.test", "--auth", way.mechanism, "--auth-user", USER,
                            "--auth-password", PASSWORD, "--from", mail.sender, "--to",
                            mail.recipients[0], "--data", "@" + self.body(party, mail)])
            if shutil.which("swaks"):
                party.case("nginx: XCLIENT with LOGIN", act,
                           party.arrival(mail, "ESMTPA", log_has=[f"login={USER}"]))
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait()
            oracle.shutdown()

    @staticmethod
    def body(party, mail):
        path = party.house.file("nginx.eml")
        with open(path, "wb") as file:
            file.write(mail.content.removesuffix(b"\r\n"))
        return path


def converse(port, commands):
    """A plain dialogue; its status is 1 where a reply refuses."""
    end = time.monotonic() + 10
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
    said, status = [], 0
    with connection, connection.makefile("rw", newline="") as stream:
        for command in [None, *commands]:
            if command:
                stream.write(command + "\r\n")
                stream.flush()
            while True:
                line = stream.readline()
                said.append(line.rstrip())
                if line[3:4] != "-":
                    break
            status = 1 if line[:1] in ("4", "5", "") else status
    return Run(status, "\n".join(said))


SERVERS = [Postfix(), Exim(), HAProxy(), Nginx()]
