#!/usr/bin/env python3
"""What scanners say of the relay's TLS: openssl s_client, sslscan and testssl.sh against STARTTLS on a
submission port and TLS from the first byte on another, with an ECDSA certificate and an RSA one. By
hand, about eight minutes:

    tls_scan.py --binary .build/release/ekiden

Prints one line for each finding and, last, how many there were. Exit status 0: nothing weak was
found; 1: something was; 2: it could not begin. A scanner that is not installed is named and left out,
but for those of --require. docs/TLS.md has the result of the last time.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from real_clients_house import House
from test_bed import Broken

# Of the certificate this is tried with, and of the machine: nothing the relay could do anything about.
NOT_OURS = ("cert_", "DNS_CAArecord", "engine_problem", "scanTime")
KEYS = {"ECDSA": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "RSA": ["rsa:2048"]}
# A remark on how it went, such as that this is no web server.
REMARKS = ("OK", "INFO", "DEBUG")


def said(arguments, given="", seconds=600, **environment):
    done = subprocess.run(arguments, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=seconds, check=False, text=True, errors="replace",
                          env=dict(os.environ, **environment))
    return done.returncode, done.stdout


class Findings:
    def __init__(self):
        self.count, self.bad = 0, 0

    def tell(self, who, what, is_well):
        self.count += 1
        self.bad += not is_well
        print(f"{'ok     ' if is_well else 'WEAK   '} {who}: {what}", flush=True)


def s_client(house, findings):
    """Versions, names, resumption and renegotiation, as a program of OpenSSL's asks for them."""
    for listener, how in (("submission", ["-starttls", "smtp"]), ("submissions", [])):
        base = ["openssl", "s_client", "-connect", f"127.0.0.1:{house.port[listener]}", *how,
                "-CAfile", house.file("ca.pem"), "-verify_return_error", "-verify_ip", "127.0.0.1"]
        for version, wanted in (("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False),
                                ("-tls1", False)):
            # At level 0 the client at least would.
            status, text = said([*base, version, "-cipher", "ALL:@SECLEVEL=0"], "QUIT\r\n")
            done = status == 0 and "Verify return code: 0" in text
            findings.tell("s_client", f"{listener}: {version[1:]} {'taken' if done else 'refused'}",
                          done == wanted)
        kept = house.file("session")
        said([*base, "-tls1_3", "-sess_out", kept, "-ign_eof"], "QUIT\r\n")
        text = said([*base, "-tls1_3", "-sess_in", kept, "-ign_eof"], "QUIT\r\n")[1]
        findings.tell("s_client", f"{listener}: a session is resumed by its ticket",
                      "Reused, TLSv1.3" in text)
        text = said([*base, "-tls1_2"], "R\n")[1]
        findings.tell("s_client", f"{listener}: a renegotiation is refused",
                      "no renegotiation" in text or "alert" in text.lower())


def sslscan(house, findings):
    for listener, how in (("submission", ["--starttls-smtp"]), ("submissions", [])):
        text = said(["sslscan", *how, "--no-colour", f"127.0.0.1:{house.port[listener]}"])[1]
        for version, state in re.findall(r"^((?:SSL|TLS)v[\d.]+)\s+(enabled|disabled)", text, re.M):
            findings.tell("sslscan", f"{listener}: {version} {state}",
                          (state == "enabled") == (version in ("TLSv1.2", "TLSv1.3")))
        ciphers = re.findall(r"^(?:Preferred|Accepted)\s+(\S+)\s+(\d+) bits\s+(\S+)", text, re.M)
        for version, bits, name in ciphers:
            is_modern = int(bits) >= 128 and re.search("GCM|CHACHA20", name) is not None
            findings.tell("sslscan", f"{listener}: {version} {name}", is_modern)
        findings.tell("sslscan", f"{listener}: {len(ciphers)} ciphers", len(ciphers) >= 2)
        for words in ("supports TLS Fallback SCSV", "Session renegotiation not supported",
                      "TLSv1.2 not vulnerable to heartbleed"):
            findings.tell("sslscan", f"{listener}: {words}", words in text)


def testssl(house, findings):
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    for listener, how in (("submission", ["--starttls", "smtp"]), ("submissions", [])):
        file = house.file(f"{listener}.json")
        said([program, "--quiet", "--color", "0", *how, "--jsonfile", file,
              f"127.0.0.1:{house.port[listener]}"])
        with open(file, encoding="utf-8") as source:
            rows = [row for row in json.load(source) if not row["id"].startswith(NOT_OURS)]
        for row in rows:
            if row["severity"] not in REMARKS:
                findings.tell(
                    "testssl", f"{listener}: {row['severity']} {row['id']}: {row['finding']}", False)
        # Fewer, and it broke off.
        count = sum(row["severity"] == "OK" for row in rows)
        findings.tell("testssl", f"{listener}: {count} of {len(rows)} findings OK, the others no "
                      "more than remarks", count >= 25)


SCANNERS = {"openssl": s_client, "sslscan": sslscan, "testssl": testssl}


def scan(directory, curve, options, findings):
    """All scanners against a relay with a certificate of that kind."""
    os.mkdir(directory)
    house = House(os.path.abspath(options.binary), directory, curve)
    try:
        for name in options.only.split(","):
            if shutil.which(name) or shutil.which(name + ".sh"):
                SCANNERS[name](house, findings)
            elif name not in options.require.split(","):
                print(f"skipped {name}: it is not installed")
    except (subprocess.TimeoutExpired, OSError, ValueError) as trouble:
        findings.tell(name, f"it did not end as it should: {trouble}", False)
    finally:
        if not house.stop():
            findings.tell("relay", "it did not end as it should", False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--only", default=",".join(SCANNERS))
    parser.add_argument("--require", default="", help="scanners that must be there")
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="ekiden-scan-")
    findings = Findings()
    for name in filter(None, options.require.split(",")):
        if name not in options.only.split(",") or not (
                shutil.which(name) or shutil.which(name + ".sh")):
            findings.tell(name, "it is required, and did not run", False)
    try:
        for kind, key in KEYS.items():
            print(f"        with a certificate of {kind}", flush=True)
            scan(f"{directory}/{kind}", key, options, findings)
    except Broken as trouble:
        print(f"stopped: {trouble}; see {directory}")
        return 2
    print(f"{findings.count} findings, {findings.bad} of them weak")
    shutil.rmtree(directory)
    return 1 if findings.bad else 0


if __name__ == "__main__":
    sys.exit(main())
