"""How each client that real_clients.py knows is told to send one letter one way: its command line,
its configuration, and what it can't do. One class for each client; the tool finds them in `GUESTS`.
A client is run as its users run it, never through a library of ours."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from urllib.parse import quote

from real_clients_house import PASSWORD, PRINTER, USER


@dataclass
class Way:
    """Into which listener, and on what terms."""
    listener: str
    tls: str = "none"  # or starttls, implicit
    mechanism: str = None
    password: str = PASSWORD
    # Shows the printer's certificate.
    certificate: bool = False

    @property
    def user(self):
        return PRINTER if self.mechanism == "EXTERNAL" else USER

    def __str__(self):
        return f"{self.listener} {self.tls}" + (f" {self.mechanism}" if self.mechanism else "")


@dataclass
class Letter:
    key: str
    sender: str
    recipients: list
    content: bytes
    # Options of the client itself, for cases that are its alone.
    options: list = field(default_factory=list)
    settings: dict = field(default_factory=dict)

    @property
    def text(self):
        """The body as a composer is given it."""
        return self.content.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")


@dataclass
class Run:
    status: int
    transcript: str


def run(arguments, given=b"", seconds=60, **environment):
    try:
        done = subprocess.run(arguments, input=given, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds, check=False,
                              env=dict(os.environ, **environment))
    except subprocess.TimeoutExpired as late:
        return Run(-1, f"not done in {seconds} s\n" + (late.stdout or b"").decode(errors="replace"))
    return Run(done.returncode, done.stdout.decode(errors="replace"))


class Guest:
    name = ""
    program = ""
    mechanisms = ("PLAIN", "LOGIN")
    # Writes the header itself, so that only the text can be compared.
    composes = False
    # Of --root, where packages are unpacked that can't be installed beside each other.
    root = "/nonexistent"
    ways = ("none", "starttls", "implicit")
    # Takes a dot that is the last line for the end.
    keeps_last_dot = True
    # Puts fields of its own in front.
    adds_fields = False
    recipients_max = 150
    shows_certificate = False

    def __init__(self, house):
        self.house = house

    def path(self):
        """Of the program; None where it is not installed."""
        places = ["", f"{self.root}/usr/sbin/", f"{self.root}/usr/bin/", self.root]
        return next(filter(None, (shutil.which(place + self.program) for place in places)), None)

    def says_helo(self, way, text):
        """Instead of EHLO, where it does not log in."""
        return False

    def missing(self):
        """What keeps it from coming."""
        return None if self.path() else f"{self.program} is not installed"

    def version(self):
        """The first line of what it says of itself."""
        return run([self.path(), "--version"], seconds=20).transcript.strip().split("\n")[0]

    def port(self, way):
        return str(self.house.port[way.listener])

    def keep(self, name, content):
        """A file of the house with that content; its path."""
        path = self.house.file(name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, 0o600)
        return path

    def send(self, way, letter):
        raise NotImplementedError


class Swaks(Guest):
    name = program = "swaks"
    keeps_last_dot = False
    shows_certificate = True

    def send(self, way, letter):
        # A percent sign or a backslash would mean something to it; the letters have neither.
        more = {"none": [], "starttls": ["--tls"], "implicit": ["--tls-on-connect"]}[way.tls]
        if way.tls != "none":
            more += ["--tls-verify", "--tls-ca-path", self.house.file("ca.pem")]
        if way.certificate:
            more += ["--tls-cert", self.house.file("printer.pem"),
                     "--tls-key", self.house.file("printer.key")]
        if way.mechanism:
            more += ["--auth", way.mechanism, "--auth-user", way.user,
                     "--auth-password", way.password]
        # It ends the last line itself.
        mail = self.keep("swaks.eml", letter.content.removesuffix(b"\r\n"))
        return run(["swaks", "--server", "localhost", "--port", self.port(way), "-4",
                    "--timeout", "60", "--helo", "guest.test", "--from", letter.sender, "--to",
                    ",".join(letter.recipients), "--data", "@" + mail, "--suppress-data", *more,
                    *letter.options])


class Msmtp(Guest):
    name = program = "msmtp"
    shows_certificate = True

    def __init__(self, house):
        super().__init__(house)
        if self.path():
            known = run([self.path(), "--version"]).transcript
            self.mechanisms = tuple(
                name for name in
                ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "EXTERNAL")
                if f" {name.lower()} " in known.replace("\n", " "))

    def configuration(self, way, letter):
        lines = ["account default", "host localhost", f"port {self.port(way)}",
                 f"from {letter.sender}", "set_from_header off", "domain guest.test",
                 f"tls {'off' if way.tls == 'none' else 'on'}",
                 f"tls_starttls {'on' if way.tls == 'starttls' else 'off'}"]
        if way.tls != "none":
            lines += [f"tls_trust_file {self.house.file('ca.pem')}"]
        if way.certificate:
            lines += [f"tls_cert_file {self.house.file('printer.pem')}",
                      f"tls_key_file {self.house.file('printer.key')}"]
        if way.mechanism:
            lines += [f"auth {way.mechanism.lower()}", f"user {way.user}",
                      f"password {way.password}"]
        return self.keep("msmtprc", "\n".join(lines) + "\n")

    def send(self, way, letter):
        return run(["msmtp", "--debug", "-C", self.configuration(way, letter), *letter.options,
                    "--", *letter.recipients], letter.content.replace(b"\r\n", b"\n"))


class Curl(Guest):
    name = program = "curl"
    shows_certificate = True

    def send(self, way, letter):
        scheme = "smtps" if way.tls == "implicit" else "smtp"
        more = ["--ssl-reqd"] if way.tls == "starttls" else []
        if way.tls != "none":
            more += ["--cacert", self.house.file("ca.pem")]
        if way.certificate:
            more += ["--cert", self.house.file("printer.pem"),
                     "--key", self.house.file("printer.key")]
        if way.mechanism:
            more += ["--user", f"{way.user}:{way.password}",
                     "--login-options", f"AUTH={way.mechanism}"]
        for recipient in letter.recipients:
            more += ["--mail-rcpt", recipient]
        mail = self.keep("curl.eml", letter.content)
        return run(["curl", "-v", "--silent", "--show-error", "-4", "--max-time", "60", "--url",
                    f"{scheme}://localhost:{self.port(way)}/guest.test", "--mail-from",
                    letter.sender, "--upload-file", mail, *more, *letter.options])


class Scripted(Guest):
    """A library, driven by a script of a few lines that gets all it needs as JSON."""
    command = ()
    script = ""

    def facts(self, way, letter):
        mail = self.keep(f"{self.program}.eml", letter.content)
        return json.dumps({
            "port": int(self.port(way)), "tls": way.tls, "mechanism": way.mechanism,
            "user": way.user, "password": way.password, "ca": self.house.file("ca.pem"),
            "cert": self.house.file("printer.pem") if way.certificate else None,
            "key": self.house.file("printer.key"), "sender": letter.sender,
            "recipients": letter.recipients, "mail": mail,
            "text": self.keep(f"{self.program}.txt", letter.text),
            "isLong": len(letter.text) > 9999, "settings": letter.settings})

    def send(self, way, letter):
        return run([*self.command, self.script, self.facts(way, letter)])


class Smtplib(Scripted):
    name = "smtplib"
    program = "python3"
    mechanisms = ("PLAIN", "LOGIN", "EXTERNAL")
    shows_certificate = True
    command = (sys.executable, "-c")
    script = r"""
import json, smtplib, ssl, sys
f = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile=f["ca"])
if f["cert"]: context.load_cert_chain(f["cert"], f["key"])
if f["tls"] == "implicit":
    s = smtplib.SMTP_SSL("localhost", f["port"], local_hostname="guest.test", context=context)
else:
    s = smtplib.SMTP("localhost", f["port"], local_hostname="guest.test")
s.set_debuglevel(0)
if f["tls"] == "starttls": s.starttls(context=context)
s.ehlo()
if f["mechanism"] == "EXTERNAL": s.auth("EXTERNAL", lambda challenge=None: "")
elif f["mechanism"]:
    s.user, s.password = f["user"], f["password"]
    s.auth(f["mechanism"], getattr(s, "auth_" + f["mechanism"].lower()))
refused = s.sendmail(f["sender"], f["recipients"], open(f["mail"], "rb").read(),
                     f["settings"].get("mail", []), f["settings"].get("rcpt", []))
s.quit()
sys.exit(1 if refused else 0)
"""

    def version(self):
        return "Python " + sys.version.split()[0]


class NetSMTP(Scripted):
    name = "Net::SMTP"
    program = "perl"
    mechanisms = ("PLAIN", "LOGIN")
    shows_certificate = False
    command = ("perl", "-MNet::SMTP", "-MAuthen::SASL", "-MJSON::PP", "-e")
    script = r"""
my $f = decode_json($ARGV[0]);
my %tls = (SSL_ca_file => $f->{ca});
my $s = Net::SMTP->new("localhost", Port => $f->{port}, Hello => "guest.test", Debug => 1,
    ($f->{tls} eq "implicit" ? (SSL => 1, %tls) : ())) or die "no connection: $@";
if ($f->{tls} eq "starttls") { $s->starttls(%tls) or die "starttls: " . $s->message }
if ($f->{mechanism}) {
    my $sasl = Authen::SASL->new(mechanism => $f->{mechanism},
        callback => { user => $f->{user}, pass => $f->{password}, authname => "" });
    $s->auth($sasl) or die "auth: " . $s->message;
}
$s->mail($f->{sender}) or die $s->message;
$s->recipient(@{$f->{recipients}}) or die $s->message;
open(my $in, "<:raw", $f->{mail}) or die; my $mail = do { local $/; <$in> };
$mail =~ s/\r\n/\n/g;
$s->data() && $s->datasend($mail) && $s->dataend() or die $s->message;
$s->quit;
"""

    def missing(self):
        if super().missing():
            return super().missing()
        modules = ["-MNet::SMTP", "-MAuthen::SASL", "-MIO::Socket::SSL", "-MJSON::PP"]
        done = run(["perl", *modules, "-e1"])
        return None if done.status == 0 else "a Perl module is not installed"

    def version(self):
        asked = run(["perl", "-MNet::SMTP", "-e", "print Net::SMTP->VERSION"])
        return "Net::SMTP " + asked.transcript


class Nodemailer(Scripted):
    name = "nodemailer"
    program = "node"
    shows_certificate = True
    command = ("node", "-e")
    modules = "/usr/share/nodejs"
    script = r"""
const f = JSON.parse(process.argv[1]), fs = require("fs");
const tls = { ca: fs.readFileSync(f.ca) };
if (f.cert) { tls.cert = fs.readFileSync(f.cert); tls.key = fs.readFileSync(f.key); }
const transport = require("nodemailer").createTransport({
  host: "127.0.0.1", port: f.port, name: "guest.test", secure: f.tls == "implicit",
  requireTLS: f.tls == "starttls", ignoreTLS: f.tls == "none", tls: tls,
  debug: !f.isLong, logger: !f.isLong,
  authMethod: f.mechanism || undefined,
  auth: f.mechanism ? { user: f.user, pass: f.password } : undefined });
transport.sendMail({ envelope: Object.assign({ from: f.sender, to: f.recipients }, f.settings),
  raw: fs.readFileSync(f.mail) }).then(() => process.exit(0),
  error => { console.error(String(error)); process.exit(1); });
"""

    def missing(self):
        if super().missing():
            return super().missing()
        there = os.path.isdir(f"{self.modules}/nodemailer")
        return None if there else "nodemailer is not installed"

    def send(self, way, letter):
        return run([*self.command, self.script, self.facts(way, letter)], NODE_PATH=self.modules)

    def version(self):
        with open(f"{self.modules}/nodemailer/package.json", encoding="utf-8") as file:
            return "nodemailer " + json.load(file)["version"]


class PHPMailer(Scripted):
    name = "PHPMailer"
    program = "php"
    composes = True
    command = ("php", "-r")
    library = "/usr/share/php/libphp-phpmailer"
    script = r"""
$f = json_decode($argv[1], true);
require "/usr/share/php/libphp-phpmailer/autoload.php";
$m = new PHPMailer\PHPMailer\PHPMailer(true);
$m->isSMTP(); $m->SMTPDebug = $f["isLong"] ? 0 : 2;
$m->Host = "localhost"; $m->Port = $f["port"]; $m->Helo = "guest.test"; $m->CharSet = "UTF-8";
$m->SMTPAutoTLS = false;
$m->SMTPSecure = ["none" => "", "starttls" => "tls", "implicit" => "ssl"][$f["tls"]];
$m->SMTPOptions = ["ssl" => ["cafile" => $f["ca"]]];
if ($f["mechanism"]) {
    $m->SMTPAuth = true; $m->AuthType = $f["mechanism"];
    $m->Username = $f["user"]; $m->Password = $f["password"];
}
$m->setFrom($f["sender"]);
foreach ($f["recipients"] as $to) $m->addAddress($to);
$m->Subject = "from PHP"; $m->Body = file_get_contents($f["text"]);
try { $m->send(); } catch (Exception $e) { echo $e->getMessage(); exit(1); }
"""

    def missing(self):
        if super().missing():
            return super().missing()
        return None if os.path.isdir(self.library) else "PHPMailer is not installed"

    def version(self):
        done = run(["dpkg-query", "-W", "-f=${Version}", "libphp-phpmailer"])
        return f"PHPMailer {done.transcript}"


class PHPMail(Guest):
    """PHP's own mail(), which runs a sendmail command; here msmtp's."""
    name = "PHP mail()"
    program = "php"
    composes = True
    script = r"""
$f = json_decode($argv[1], true);
$text = file_get_contents($f["text"]);
exit(mail(implode(",", $f["to"]), "from PHP", $text, "From: " . $f["from"]) ? 0 : 1);
"""

    def missing(self):
        return super().missing() or Msmtp(self.house).missing()

    def send(self, way, letter):
        configuration = Msmtp(self.house).configuration(way, letter)
        facts = json.dumps({"to": letter.recipients, "from": letter.sender,
                            "text": self.keep("mail.txt", letter.text)})
        return run(["php", "-d", f"sendmail_path=msmtp --debug -C {configuration} -t", "-r",
                    self.script, facts])


class SNail(Guest):
    name = program = "s-nail"
    composes = True
    shows_certificate = True
    mechanisms = ("PLAIN", "LOGIN", "EXTERNAL")

    def says_helo(self, way, text):
        return True

    def send(self, way, letter):
        scheme = "smtps" if way.tls == "implicit" else "smtp"
        user = f"{quote(way.user)}:{quote(way.password)}@" if way.mechanism else ""
        settings = {
            "v15-compat": "yes", "mta": f"{scheme}://{user}localhost:{self.port(way)}",
            "from": letter.sender, "hostname": "guest.test", "ttycharset": "utf-8",
            "sendcharsets": "utf-8", "smtp-auth": (way.mechanism or "none").lower(),
            "tls-ca-file": self.house.file("ca.pem"), "tls-verify": "strict"}
        more = ["-S", "smtp-use-starttls"] if way.tls == "starttls" else []
        if way.certificate:
            more += ["-S", "tls-config-pairs=Certificate=" + self.house.file("printer.both")
                     + ",PrivateKey=" + self.house.file("printer.both")]
        for name, value in settings.items():
            more += ["-S", f"{name}={value}"]
        return run(["s-nail", "-:/", "-v", "-s", "from s-nail", *more, "-S", "sendwait", "-.",
                    *letter.recipients], letter.text)

    def version(self):
        return run(["s-nail", "-:/", "-V"]).transcript.split("\n")[0]


class Mutt(Guest):
    name = program = "mutt"
    composes = True
    mechanisms = ("PLAIN", "LOGIN", "SCRAM-SHA-256")

    def says_helo(self, way, text):
        return way.tls == "none" and text != "8-bit"

    def send(self, way, letter):
        scheme = "smtps" if way.tls == "implicit" else "smtp"
        user = f"{way.user}@" if way.mechanism else ""
        lines = [f'set smtp_url="{scheme}://{user}localhost:{self.port(way)}"',
                 f'set smtp_pass="{way.password}"', f'set from="{letter.sender}"',
                 "set use_from=yes", "set use_envelope_from=yes", "set copy=no",
                 "set hostname=guest.test",
                 f"set ssl_starttls={'yes' if way.tls == 'starttls' else 'no'}",
                 f"set ssl_force_tls={'no' if way.tls == 'none' else 'yes'}",
                 f'set certificate_file="{self.house.file("ca.pem")}"',
                 f'set ssl_ca_certificates_file="{self.house.file("ca.pem")}"']
        if way.mechanism:
            lines += [f'set smtp_authenticators="{way.mechanism.lower()}"']
        rc = self.keep(f"{self.name}rc", "\n".join(lines) + "\n")
        return run([self.program, "-n", "-F", rc, "-d", "2", "-s", f"from {self.name}", "--",
                    *letter.recipients], letter.text, HOME=self.house.directory)

    def version(self):
        return run([self.program, "-v"]).transcript.split("\n")[0]


class NeoMutt(Mutt):
    name = program = "neomutt"
    mechanisms = ("PLAIN", "LOGIN")


class Nullmailer(Guest):
    """Its smtp module, as nullmailer-send runs it."""
    name = "nullmailer"
    program = "/usr/lib/nullmailer/smtp"

    def says_helo(self, way, text):
        return True

    def send(self, way, letter):
        # It takes the first address of a name alone, and the relay has no ::1 here.
        options = {"host": "127.0.0.1", "port": self.port(way)}
        flags = []
        if way.tls == "implicit":
            flags = ["tls"]
        elif way.tls == "starttls":
            flags = ["starttls"]
        if way.tls != "none":
            options["x509cafile"] = self.house.file("ca.pem")
        if way.mechanism:
            options.update(user=way.user, **{"pass": way.password})
            flags += ["auth-login"] if way.mechanism == "LOGIN" else []
        given = "".join(f"{name}={value}\n" for name, value in options.items())
        given += "".join(f"{flag}\n" for flag in flags) + "\n"
        envelope = "\n".join([letter.sender, *letter.recipients]).encode() + b"\n\n"
        mail = self.keep("nullmailer.eml", envelope + letter.content.replace(b"\r\n", b"\n"))
        return run(["bash", "-c", 'exec "$1" 3< "$2"', "bash", self.path(), mail], given.encode(),
                   HELOHOST="guest.test")

    def version(self):
        done = run(["dpkg-query", "-W", "-f=${Version}", "nullmailer"])
        return "nullmailer" + (f" {done.transcript}" if done.status == 0 else " (unpacked)")


class Ssmtp(Guest):
    name = program = "ssmtp"
    adds_fields = True
    mechanisms = ("LOGIN",)

    def says_helo(self, way, text):
        return True

    def send(self, way, letter):
        lines = [f"mailhub=localhost:{self.port(way)}", "hostname=guest.test",
                 "FromLineOverride=YES"]
        if way.tls != "none":
            lines += ["UseTLS=YES", f"TLS_CA_File={self.house.file('ca.pem')}"]
        if way.tls == "starttls":
            lines += ["UseSTARTTLS=YES"]
        if way.mechanism:
            lines += [f"AuthUser={way.user}", f"AuthPass={way.password}",
                      f"AuthMethod={way.mechanism}"]
        path = self.keep("ssmtp.conf", "\n".join(lines) + "\n")
        return run([self.path(), "-v", "-C", path, "-f", letter.sender, *letter.recipients],
                   letter.content.replace(b"\r\n", b"\n"))

    def version(self):
        return run([self.path(), "-V"]).transcript.split("\n")[0]


GUESTS = [Swaks, Msmtp, Curl, Smtplib, NetSMTP, Nodemailer, PHPMailer, PHPMail, SNail, Mutt,
          NeoMutt, Nullmailer, Ssmtp]
