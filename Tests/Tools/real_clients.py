#!/usr/bin/env python3
"""Lets real mail clients send through a relay, in every way each of them has, and checks what comes
out at the other end. By hand:

    real_clients.py --binary .build/debug/ekiden
    real_clients.py --binary .build/debug/ekiden --only msmtp,curl --verbose

Clients that are not installed are named and left out, but for those of --require; --root names a
directory in which packages were unpacked that can't be installed beside each other (`dpkg -x`). Postfix and Exim run with a
configuration of their own, as root only, and touch nothing of the machine's.

For each client: in the clear, with STARTTLS, with TLS from the first byte, with each mechanism it
logs in with, with a client certificate, with a wrong password; with dots at the beginning of lines,
lines of 998 octets, 8-bit text, 10 MB, 150 recipients. Then what only some can do: DSN, SMTPUTF8,
PIPELINING, CHUNKING, XCLIENT, the PROXY protocol. Each message is compared octet by octet with what
the next hop took (of clients that write the header themselves, the text), and the `with` clause of
the relay's Received field with what RFC 3848 and RFC 6531 ask for.

One line for each case. Exit status 0: all went well; 1: something did not, and the directory with
log and transcripts is kept; 2: it could not begin. Python's standard library and `openssl` only.
"""

import argparse
import email
import email.policy
import os
import shutil
import sys
import tempfile
import time

from real_clients_guests import GUESTS, Guest, Letter, Run, Way, run
from real_clients_house import PASSWORD, USER, House
from real_clients_servers import SERVERS
from real_clients_swaks import swaks_alone
from test_bed import Broken

# What the protocol is called in Received, by what the client did (RFC 3848).
PROTOCOLS = {(False, False): "ESMTP", (True, False): "ESMTPS",
             (False, True): "ESMTPA", (True, True): "ESMTPSA"}

TEXTS = {
    "simple": b"Hello.\r\n",
    "dots": b".\r\n..\r\n...three\r\n.one\r\n\r\n. \r\nthe end.\r\n",
    "a dot at the end": b"one\r\n.\r\n",
    "998 octets": b"x" * 998 + b"\r\n" + b"." + b"y" * 997 + b"\r\nz\r\n",
    "8-bit": "Grüße, 你好, ☃.\r\n".encode(),
    "10 MB": (b"0123456789" * 7 + b"\r\n") * (10_000_000 // 72),
}


def letter(key, text="simple", recipients=1, sender=None, **more):
    sender = sender or f"from-{key}@origin.test"
    to = [f"to{n}-{key}@away.test" for n in range(recipients)]
    header = (f"From: <{sender}>\r\nTo: <to0-{key}@away.test>\r\nSubject: {key}\r\n"
              f"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{key}@origin.test>\r\n"
              "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
              "Content-Transfer-Encoding: 8bit\r\n\r\n")
    return Letter(key, sender, to, header.encode() + TEXTS[text], **more)


def text_of(content):
    """The text of a message, whatever it is encoded in."""
    part = email.message_from_bytes(content, policy=email.policy.default)
    return part.get_payload(decode=True).replace(b"\r\n", b"\n").rstrip(b"\n")


class Party:
    """Runs cases and counts them."""

    def __init__(self, house, verbose):
        self.house, self.verbose = house, verbose
        self.count, self.failures, self.skipped = 0, [], []

    def key(self):
        self.count += 1
        return f"case{self.count}x"

    def report(self, name, problem, transcript, log, seconds):
        if problem is None:
            print(f"ok      {name} ({seconds:.1f} s)", flush=True)
        else:
            self.failures.append(name)
            print(f"FAILED  {name}: {problem}", flush=True)
        if problem is not None or self.verbose:
            for text in (transcript, log):
                print("        | " + text.strip()[-4000:].replace("\n", "\n        | "), flush=True)

    def skip(self, name, why):
        self.skipped.append(name)
        print(f"skipped {name}: {why}", flush=True)

    def case(self, name, act, check):
        """`act` sends and returns its Run; `check` says what is wrong with the outcome, or None."""
        size, began = self.house.log_size(), time.monotonic()
        try:
            done = act()
        except OSError as trouble:
            done = Run(-1, str(trouble))
        problem = check(done, size)
        self.report(name, problem, done.transcript, self.house.log_since(size),
                    time.monotonic() - began)

    def arrival(self, mail, protocol, guest=None, mail_has=(), rcpt_has=(), log_has=()):
        """A check: it was taken, and it arrived as it was sent."""
        def check(done, size):
            if done.status != 0:
                return f"the client reports failure, status {done.status}"
            taken = self.house.hop.take(mail.key, 30, len(mail.recipients))
            if taken is None:
                return "it did not arrive"
            for one in taken:
                if guest and guest.composes:
                    if text_of(one.content) != mail.text.rstrip(b"\n"):
                        return f"another text arrived: {text_of(one.content)[:200]!r}"
                elif guest and guest.adds_fields:
                    if not one.without_received.endswith(mail.content):
                        return f"other octets arrived: {one.without_received[:600]!r}"
                elif one.without_received != mail.content:
                    return f"other octets arrived: {one.without_received[:600]!r}"
                if one.protocol != protocol:
                    return f"with {one.protocol}, not {protocol}"
                for wanted in mail_has:
                    if wanted not in one.mail:
                        return f"no {wanted} in MAIL FROM:{one.mail}"
                for wanted in rcpt_has:
                    if any(wanted not in to for to in one.recipients):
                        return f"no {wanted} in RCPT TO:{one.recipients[0]}"
            said = sorted(to.split(">")[0].strip("<") for one in taken for to in one.recipients)
            if said != sorted(mail.recipients):
                return f"other recipients: {said}"
            log = self.house.log_since(size, log_has[0] if log_has else None)
            return next((f"no {word} in the log" for word in log_has if word not in log), None)
        return check

    def refusal(self, *log_has):
        """A check: the client says that it failed, and the relay's log says why."""
        def check(done, size):
            if done.status == 0:
                return "the client reports success"
            log = self.house.log_since(size, log_has[0])
            return next((f"no {word} in the log" for word in log_has if word not in log), None)
        return check


# ---- What is asked of every client


def standard_ways(guest):
    """With the listener, the protocol that Received must name."""
    for tls in ("none", "starttls"):
        if tls in guest.ways:
            yield Way("relay", tls)
    for mechanism in guest.mechanisms:
        if mechanism == "EXTERNAL":
            yield Way("submission", "starttls", mechanism, certificate=True)
            continue
        if "none" in guest.ways and not mechanism.endswith("-PLUS"):
            yield Way("clear", "none", mechanism)
        if "starttls" in guest.ways:
            yield Way("submission", "starttls", mechanism)
        if "implicit" in guest.ways:
            yield Way("submissions", "implicit", mechanism)


def protocol_of(way, guest, text="simple"):
    if not way.mechanism and guest.says_helo(way, text):
        return "SMTP"
    return PROTOCOLS[way.tls != "none", way.mechanism is not None]


def all_ways(party, guest):
    for way in standard_ways(guest):
        mail = letter(party.key())
        log = [f"login={way.user}"] if way.mechanism else []
        party.case(f"{guest.name}: {way}", lambda: guest.send(way, mail),
                   party.arrival(mail, protocol_of(way, guest), guest,
                                 log_has=log))
    if guest.shows_certificate and "starttls" in guest.ways:
        way, mail = Way("submission", "starttls", certificate=True), letter(party.key())
        party.case(f"{guest.name}: {way}, a certificate alone", lambda: guest.send(way, mail),
                   party.arrival(mail, protocol_of(way, guest), guest, log_has=["login=printer-3"]))


def all_texts(party, guest):
    plain = Way("relay")
    for text in TEXTS:
        if text == "simple" or text == "a dot at the end" and not guest.keeps_last_dot:
            continue
        mail = letter(party.key(), text)
        party.case(f"{guest.name}: {text}", lambda: guest.send(plain, mail),
                   party.arrival(mail, protocol_of(plain, guest, text), guest))
    mail = letter(party.key(), recipients=guest.recipients_max)
    party.case(f"{guest.name}: {guest.recipients_max} recipients", lambda: guest.send(plain, mail),
               party.arrival(mail, protocol_of(plain, guest), guest))


def refusals(party, guest):
    mail = letter(party.key())
    for mechanism in guest.mechanisms:
        if mechanism == "EXTERNAL":
            continue
        way = Way("submission", "starttls", mechanism, password="wrong")
        party.case(f"{guest.name}: {mechanism}, wrong password", lambda: guest.send(way, mail),
                   party.refusal("result=failed", f"mechanism={mechanism}"))
        break
    party.case(f"{guest.name}: no login where one is needed",
               lambda: guest.send(Way("submission", "starttls"), mail),
               party.refusal("rule=login-required"))
    party.case(f"{guest.name}: a stranger who wants to relay",
               lambda: guest.send(Way("clear"), mail), party.refusal("rule=relay-denied"))


# ---- What only some can do


def dsn(party, guests):
    asked = ["NOTIFY=SUCCESS,FAILURE", "RET=HDRS", "ENVID=e42"]
    if "smtplib" in guests:
        mail = letter(party.key(), settings={"mail": asked[1:], "rcpt": asked[:1]})
        party.case("smtplib: DSN", lambda: guests["smtplib"].send(Way("relay"), mail),
                   party.arrival(mail, "ESMTP", mail_has=asked[1:], rcpt_has=asked[:1]))
    if "msmtp" in guests:
        mail = letter(party.key(), options=["--dsn-notify=success,failure", "--dsn-return=hdrs"])
        party.case("msmtp: DSN", lambda: guests["msmtp"].send(Way("relay"), mail),
                   party.arrival(mail, "ESMTP", mail_has=asked[1:2], rcpt_has=asked[:1]))
    if "nodemailer" in guests:
        settings = {"dsn": {"id": "e42", "return": "headers", "notify": ["success", "failure"],
                            "recipient": "orig@away.test"}}
        mail = letter(party.key(), settings=settings)
        party.case("nodemailer: DSN", lambda: guests["nodemailer"].send(Way("relay"), mail),
                   party.arrival(mail, "ESMTP", mail_has=asked[1:],
                                 rcpt_has=[asked[0], "ORCPT=rfc822;orig@away.test"]))


def utf8(party, guests):
    for name in ("curl", "nodemailer"):
        if name not in guests:
            continue
        mail = letter(party.key(), "8-bit")
        mail.sender = f"grüße-{mail.key}@origin.test"
        mail.recipients = [f"jürgen-{mail.key}@away.test"]
        party.case(f"{name}: SMTPUTF8", lambda: guests[name].send(Way("relay"), mail),
                   party.arrival(mail, "UTF8SMTP", mail_has=["SMTPUTF8"]))


def reading_recipients(party, guests):
    """As programs run sendmail: the recipients are in the header."""
    if "msmtp" in guests:
        mail = letter(party.key(), options=["-t"])
        to, mail.recipients = mail.recipients, []
        msmtp = guests["msmtp"]

        def act():
            done = msmtp.send(Way("submission", "starttls", "PLAIN"), mail)
            mail.recipients = to
            return done
        party.case("msmtp: -t", act, party.arrival(mail, "ESMTPSA"))


def curl_alone(party, guests):
    if "curl" not in guests:
        return
    mail = letter(party.key(), options=["--haproxy-protocol"])
    # It names its own address, which is in no network that may relay there.
    party.case("curl: --haproxy-protocol", lambda: guests["curl"].send(Way("balanced"), mail),
               party.refusal("rule=relay-denied"))
    big = letter(party.key())
    big.content += b"0123456789\r\n" * ((21 << 20) // 12)
    party.case("curl: more than SIZE allows", lambda: guests["curl"].send(Way("relay"), big),
               party.refusal("rule=message-size"))


def gsasl(party):
    """The reference implementation of SCRAM; it says STARTTLS before EHLO, logs in and goes."""
    if not shutil.which("gsasl"):
        return party.skip("gsasl", "it is not installed")
    for mechanism in ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"):
        for password, check in ((PASSWORD, None), ("wrong", party.refusal("result=failed"))):
            def act():
                port = party.house.port["submission"]
                return run(["gsasl", "--smtp", "--starttls", "--connect", f"localhost:{port}",
                            "--verbose", "--x509-ca-file", party.house.file("ca.pem"),
                            # Where it could bind the channel it insists on it.
                            *([] if mechanism.endswith("-PLUS") else ["--no-cb"]),
                            "-m", mechanism, "-a", USER, "-p", password], b"QUIT\r\n")

            def accepted(_, size):
                log = party.house.log_since(size, f"mechanism={mechanism}")
                return None if f"user={USER} result=ok" in log else "no login in the log"

            party.count += 1
            party.case(f"gsasl: {mechanism}" + (", wrong password" if check else ""), act,
                       check or accepted)
    return None


def everything(party, guests, only):
    for guest in guests.values():
        print(f"        {guest.version()}", flush=True)
        all_ways(party, guest)
        all_texts(party, guest)
        refusals(party, guest)
    dsn(party, guests)
    utf8(party, guests)
    reading_recipients(party, guests)
    swaks_alone(party, guests, letter)
    curl_alone(party, guests)
    if not only or "gsasl" in only:
        gsasl(party)
    for server in SERVERS:
        if only and server.name not in only:
            continue
        why = server.missing()
        if why:
            party.skip(server.name, why)
        else:
            server.visit(party, letter)


def invited(party, house, only):
    guests = {}
    for kind in GUESTS:
        if only and kind.name not in only:
            continue
        guest = kind(house)
        why = guest.missing()
        if why:
            party.skip(guest.name, why)
        else:
            guests[guest.name] = guest
    return guests


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--only", help="names of clients, with commas between them")
    parser.add_argument("--require", help="names of clients without which it does not go well")
    parser.add_argument("--root", help="where packages are unpacked")
    parser.add_argument("--verbose", action="store_true", help="all transcripts")
    options = parser.parse_args()
    Guest.root = options.root or Guest.root
    only = options.only.split(",") if options.only else []
    required = options.require.split(",") if options.require else []
    directory = tempfile.mkdtemp(prefix="ekiden-clients-")
    os.chmod(directory, 0o711)
    house = None
    try:
        house = House(os.path.abspath(options.binary), directory)
        party = Party(house, options.verbose)
        everything(party, invited(party, house, only), only)
    except Broken as trouble:
        print(f"stopped: {trouble}; see {directory}")
        return 2
    finally:
        if house and not house.stop():
            print("FAILED  the relay did not end as it should")
    party.failures += [f"{name} is required, and did not run" for name in required
                       if name in party.skipped or only and name not in only]
    print(f"{party.count} letters; {len(party.failures)} failed, {len(party.skipped)} skipped")
    for name in party.failures:
        print(f"  failed: {name}")
    if party.failures:
        print(f"kept: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
