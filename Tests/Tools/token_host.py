#!/usr/bin/env python3
"""A mail host that lets in who has a token (XOAUTH2, OAUTHBEARER) under STARTTLS, for the stories.

  token_host.py --address A --port P --certificate PEM --key KEY --accepts FILE

FILE has the tokens that are taken, one a line; it is read at each login. On standard output is a line
for each login (`taken` or `refused`) and each message (`mail SENDER`), never a token.
"""

import argparse
import base64
import re
import socketserver
import ssl


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def line(self):
        line = self.rfile.readline()
        return line.decode("ascii", "replace").rstrip("\r\n") if line else None

    def secure(self):
        self.say("220 2.0.0 go on")
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.rfile = self.request.makefile("rb")
        self.wfile = self.request.makefile("wb", 0)

    def log_in(self, mechanism, initial):
        while not initial:
            self.say("334 ")
            initial = self.line()
        words = base64.b64decode(initial).decode()
        token = re.search("auth=Bearer ([^\x01]*)\x01", words)
        with open(self.server.accepts) as file:
            taken = token and token.group(1) in file.read().split()
        print("taken" if taken else "refused", mechanism, flush=True)
        if taken:
            self.say("235 2.7.0 welcome")
            return True
        self.say("334 " + base64.b64encode(b'{"status":"401"}').decode())
        self.line()
        self.say("535 5.7.8 token expired")
        return False

    def handle(self):
        secured = known = False
        self.say("220 tokens.test ESMTP")
        while (line := self.line()) is not None:
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                more = "AUTH XOAUTH2 OAUTHBEARER" if secured else "STARTTLS"
                self.say("250-tokens.test\r\n250-8BITMIME\r\n250 " + more)
            elif verb == "STARTTLS":
                self.secure()
                secured = True
            elif verb == "AUTH" and secured:
                known = self.log_in(*(line.split(" ")[1:] + [""])[:2])
            elif verb == "QUIT":
                return self.say("221 2.0.0 bye")
            elif not known:
                self.say("530 5.7.0 log in first")
            elif verb == "DATA":
                self.say("354 go on")
                while self.line() not in (".", None):
                    pass
                print("mail", flush=True)
                self.say("250 2.0.0 taken")
            else:
                self.say("250 2.0.0 ok")


class Host(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, address):
        """A connection that breaks is its client's matter."""


def main():
    parser = argparse.ArgumentParser()
    for name in ("address", "port", "certificate", "key", "accepts"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    host = Host((options.address, int(options.port)), Session)
    host.accepts = options.accepts
    host.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    host.context.load_cert_chain(options.certificate, options.key)
    print("ready", flush=True)
    host.serve_forever()


main()
