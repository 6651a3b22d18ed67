"""What swaks alone can do, for real_clients.py: every protocol it knows, TLS and logins it would do
without, other ways to connect, and leaving at every step of a session."""

from real_clients_guests import Way, run
from real_clients_house import PASSWORD, USER

STEPS = ("CONNECT", "BANNER", "FIRST-EHLO", "TLS", "EHLO", "AUTH", "MAIL", "RCPT")


def swaks_alone(party, guests, letter):
    if "swaks" not in guests:
        return
    swaks = guests["swaks"]

    def deliver(name, way, options, protocol, **more):
        mail = letter(party.key(), options=options)
        party.case(f"swaks: {name}", lambda: swaks.send(way, mail),
                   party.arrival(mail, protocol, **more))

    def refused(name, way, options, *log_has):
        mail = letter(party.key(), options=options)
        party.case(f"swaks: {name}", lambda: swaks.send(way, mail), party.refusal(*log_has))

    def unwilling(name, way, options, words):
        def check(done, _):
            if done.status != 0 and words in done.transcript:
                return None
            return f"status {done.status}, and no {words!r}"
        mail = letter(party.key(), options=options)
        party.case(f"swaks: {name}", lambda: swaks.send(way, mail), check)

    protocols(party, deliver, refused)
    proxies(deliver)
    wishes(deliver, refused, unwilling)
    leaving(party, swaks, letter)
    by_hand(party, letter)


def protocols(party, deliver, refused):
    authority = ["--tls-verify", "--tls-ca-path", party.house.file("ca.pem")]
    login = ["--auth-user", USER, "--auth-password", PASSWORD]
    deliver("--pipeline", Way("relay"), ["--pipeline"], "ESMTP")
    deliver("--pipeline, STARTTLS, login", Way("submission", "starttls", "PLAIN"), ["--pipeline"],
            "ESMTPSA")
    for protocol, listener, options, result in (
            ("SMTP", "relay", [], "SMTP"), ("ESMTP", "relay", [], "ESMTP"),
            ("ESMTPA", "clear", login, "ESMTPA"), ("ESMTPS", "relay", authority, "ESMTPS"),
            ("ESMTPSA", "submission", authority + login, "ESMTPSA"),
            ("SSMTPA", "submissions", authority + login, "ESMTPSA")):
        deliver(f"--protocol {protocol}", Way(listener), ["--protocol", protocol, *options], result)
    refused("--protocol SSMTP, without a login", Way("submissions"),
            ["--protocol", "SSMTP", *authority], "rule=login-required")
    refused("--protocol SMTPS, which says HELO", Way("submissions"),
            ["--protocol", "SMTPS", *authority], "rule=login-required")
    refused("--protocol LMTP", Way("relay"), ["--protocol", "LMTP"], "rule=command-not-offered")


def proxies(deliver):
    for version in ("1", "2"):
        family = "TCP4" if version == "1" else "AF_INET"
        proxy = ["--proxy-version", version, "--proxy-family", family,
                 "--proxy-source", "192.0.2.9", "--proxy-source-port", "4711",
                 "--proxy-dest", "192.0.2.25", "--proxy-dest-port", "25"]
        if version == "2":
            proxy += ["--proxy-protocol", "STREAM", "--proxy-command", "PROXY"]
        deliver(f"PROXY protocol {version}", Way("balanced"), proxy, "ESMTP",
                log_has=["client=192.0.2.9:4711"])
        deliver(f"PROXY protocol {version}, STARTTLS", Way("balanced", "starttls"), proxy, "ESMTPS",
                log_has=["client=192.0.2.9:4711"])
    deliver("XCLIENT", Way("proxied"), ["--xclient-addr", "192.0.2.10", "--xclient-port", "4712",
                                        "--xclient-name", "far.test"], "ESMTP",
            log_has=["client=192.0.2.10:4712"])
    deliver("XCLIENT, STARTTLS behind it", Way("proxied", "starttls"),
            ["--xclient-before-starttls", "--xclient-addr", "192.0.2.10"], "ESMTPS",
            log_has=["client=192.0.2.10"])
    deliver("--xclient-optional, to a listener that knows none", Way("relay"),
            ["--xclient-addr", "192.0.2.10", "--xclient-optional"], "ESMTP")


def wishes(deliver, refused, unwilling):
    """TLS and logins that are wanted, but not at any price; and those that can't be had."""
    login = ["--auth-user", USER, "--auth-password", PASSWORD]
    for option in ("--tls-optional", "--tls-optional-strict"):
        deliver(option + ", offered", Way("relay"), [option], "ESMTPS")
        deliver(option + ", not offered", Way("clear"), [option, "--auth", "PLAIN", *login], "ESMTPA")
    deliver("--tls-protocol tlsv1_2", Way("relay", "starttls"), ["--tls-protocol", "tlsv1_2"],
            "ESMTPS", log_has=["tls=\"TLSv1.2 "])
    refused("--tls-protocol tlsv1_1", Way("relay", "starttls"), ["--tls-protocol", "tlsv1_1"],
            "rule=tls-handshake")
    refused("--tls-cipher of no encryption", Way("relay", "starttls"),
            ["--tls-protocol", "tlsv1_2", "--tls-cipher", "NULL:@SECLEVEL=0"], "rule=tls-handshake")
    deliver("--tls-sni", Way("relay", "starttls"), ["--tls-sni", "localhost"], "ESMTPS")
    for option in ("--auth-optional", "--auth-optional-strict"):
        deliver(option + ", offered", Way("clear"), [option, "PLAIN", *login], "ESMTPA")
        deliver(option + ", not offered", Way("relay"), [option, "PLAIN", *login], "ESMTP")
    for name, listener, options, words in (
            ("--auth CRAM-MD5", "clear", ["--auth", "CRAM-MD5", *login], "type not available"),
            ("--prdr", "relay", ["--prdr"], "did not advertise PRDR"),
            ("--tls", "clear", ["--tls"], "did not advertise STARTTLS")):
        unwilling(name + ", which is not offered", Way(listener), options, words)


def leaving(party, swaks, letter):
    """QUIT, or no word at all, after each step; nothing comes of it but what was taken."""
    untaken = []
    for option in ("--quit-after", "--drop-after", "--drop-after-send"):
        for step in STEPS + (("DATA", "DOT") if option != "--quit-after" else ()):
            if option == "--drop-after-send" and step in ("CONNECT", "BANNER"):
                continue
            mail = letter(party.key(), options=[option, step])
            is_taken = step == "DOT"

            def check(done, _):
                if done.status != 0:
                    return f"status {done.status}"
                if option == "--quit-after" and "<-  221" not in done.transcript.replace("<~", "<-"):
                    return "QUIT was not answered"
                if is_taken:
                    return None if party.house.hop.take(mail.key, 30) else "it did not arrive"
                untaken.append(mail.key)
                return None

            party.case(f"swaks: {option} {step}",
                       lambda: swaks.send(Way("submission", "starttls", "PLAIN"), mail), check)
    last = letter(party.key())
    came = party.arrival(last, "ESMTP")

    def nothing_else(done, size):
        # What came before this one would be there by now.
        wrong = [key for key in untaken if party.house.hop.take(key, 0)]
        return came(done, size) or (f"arrived: {wrong}" if wrong else None)

    party.case("swaks: nothing came of those", lambda: swaks.send(Way("relay"), last), nothing_else)


def by_hand(party, letter):
    """Ways to connect, and a message that swaks composes."""
    port = party.house.port

    def send(name, options, protocol):
        key = party.key()

        def act():
            return run(["swaks", "--from", f"from-{key}@origin.test", "--to", f"to0-{key}@away.test",
                        "--helo", "guest.test", "--timeout", "30", *options])

        def check(done, _):
            taken = party.house.hop.take(key, 30)
            if done.status != 0 or taken is None:
                return f"status {done.status}, arrived: {taken}"
            if taken[0].protocol != protocol:
                return f"with {taken[0].protocol}, not {protocol}"
            return None

        party.case(f"swaks: {name}", act, check)

    here = ["--server", "127.0.0.1", "--port", str(port["relay"])]
    send("its own message", here, "ESMTP")
    send("--attach", [*here, "--body", "see there", "--attach", "@" + party.house.file("ca.pem")],
         "ESMTP")
    send("--local-interface", [*here, "--local-interface", "127.0.0.1"], "ESMTP")
    send("--pipe by openssl s_client",
         ["--pipe", f"openssl s_client -quiet -connect 127.0.0.1:{port['submissions']} -CAfile "
          + party.house.file("ca.pem"), "--auth", "PLAIN", "--auth-user", USER, "--auth-password",
          PASSWORD], "ESMTPSA")
    mail = letter(party.key())
    party.case("swaks: no PROXY header where one is needed",
               lambda: run(["swaks", "--server", "127.0.0.1", "--port", str(port["balanced"]), "--to",
                            mail.recipients[0], "--timeout", "8"]),
               party.refusal("sent no whole PROXY header in time"))
