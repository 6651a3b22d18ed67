#!/usr/bin/env python3
"""A scripted name server for end-to-end tests. Python's standard library only.

    dns_server.py --zone ZONE.json [--address 127.0.0.1] [--port 5353]

Answers over UDP and TCP from a zone file, which it reads again whenever it changes:

    {
      "example.test": {
        "MX": [[10, "mx1.example.test"], [20, "mx2.example.test"]],
        "A": ["127.0.0.1"],
        "AAAA": ["::1"],
        "CNAME": "other.test",
        "ttl": 60
      },
      "null.test":   {"MX": [[0, "."]]},
      "broken.test": {"rcode": "SERVFAIL"},
      "gone.test":   {"rcode": "NXDOMAIN"},
      "slow.test":   {"A": ["127.0.0.1"], "delay_ms": 500},
      "mute.test":   {"silent": true},
      "long.test":   {"MX": [[10, "mx.test"]], "truncate": true}
    }

A name that is not in the zone does not exist (NXDOMAIN); a type that the name has not is answered
with no records; both carry an SOA record of the root whose minimum is "negative_ttl" of the name,
else 5. CNAME is followed within the zone. "truncate" sends UDP askers an empty answer with the TC
bit. Prints "ready PORT" when it listens (port 0 takes a free one), then a line for each question:

    udp MX example.test NOERROR 2
"""

import argparse
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import time

TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA"}
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
CNAME, SOA = 5, 6


class Zone:
    """The zone file, read again when it changes; a broken one leaves the last good one."""

    def __init__(self, path):
        self.path = path
        self.stamp = None
        self.names = {}
        self.lock = threading.Lock()

    def entry(self, name):
        with self.lock:
            try:
                status = os.stat(self.path)
                stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
                if stamp != self.stamp:
                    with open(self.path, encoding="utf-8") as file:
                        names = json.load(file)
                    self.names = {fold(key): value for key, value in names.items()}
                    self.stamp = stamp
            except (OSError, ValueError) as problem:
                log(f"zone {self.path}: {problem}")
            return self.names.get(fold(name))


def fold(name):
    return name.lower().rstrip(".")


def log(line):
    print(line, flush=True)


def encode_name(name):
    wire = b""
    for label in name.rstrip(".").split("."):
        if label:
            wire += bytes([len(label)]) + label.encode("latin-1")
    return wire + b"\0"


def encode_data(kind, value):
    if kind == "A":
        return socket.inet_pton(socket.AF_INET, value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "MX":
        return struct.pack("!H", value[0]) + encode_name(value[1])
    if kind == "TXT":
        text = value.encode("utf-8")
        return b"".join(bytes([len(text[i:i + 255])]) + text[i:i + 255]
                        for i in range(0, len(text) or 1, 255))
    return encode_name(value)


def record(owner, number, ttl, data):
    return encode_name(owner) + struct.pack("!HHIH", number, 1, ttl, len(data)) + data


def read_question(packet):
    """(id, flags, name, type, bytes of the question) or None."""
    if len(packet) < 17:
        return None
    number, flags, questions = struct.unpack("!HHH", packet[:6])
    if flags & 0x8000 or questions != 1:
        return None
    labels, at = [], 12
    while True:
        if at >= len(packet):
            return None
        length = packet[at]
        at += 1
        if length == 0:
            break
        if length > 63 or at + length > len(packet):
            return None
        labels.append(packet[at:at + length].decode("latin-1"))
        at += length
    if at + 4 > len(packet):
        return None
    kind = struct.unpack("!H", packet[at:at + 2])[0]
    return number, flags, ".".join(labels) or ".", kind, packet[12:at + 4]


def answer(zone, packet, transport):
    """The answer's bytes, or None for silence."""
    question = read_question(packet)
    if question is None:
        log(f"{transport} junk of {len(packet)} bytes")
        return None
    number, flags, name, kind, question_bytes = question
    kind_name = TYPES.get(kind, f"TYPE{kind}")
    records, owner, rcode, truncated, negative_ttl = [], name, "NOERROR", False, 5
    for _ in range(10):
        entry = zone.entry(owner)
        if entry is None:
            rcode = "NXDOMAIN"
            break
        if entry.get("delay_ms"):
            time.sleep(entry["delay_ms"] / 1000)
        if entry.get("silent"):
            log(f"{transport} {kind_name} {name} silent 0")
            return None
        ttl = entry.get("ttl", 60)
        negative_ttl = entry.get("negative_ttl", 5)
        truncated = truncated or (transport == "udp" and bool(entry.get("truncate")))
        rcode = entry.get("rcode", "NOERROR")
        if rcode != "NOERROR":
            break
        if "CNAME" in entry and kind != CNAME:
            records.append(record(owner, CNAME, ttl, encode_name(entry["CNAME"])))
            owner = entry["CNAME"]
            continue
        values = entry.get(kind_name, [])
        for value in values if isinstance(values, list) else [values]:
            records.append(record(owner, kind, ttl, encode_data(kind_name, value)))
        break
    authority = b""
    if rcode in ("NOERROR", "NXDOMAIN") and not any_of(records, kind):
        soa = encode_name("ns.test") + encode_name("hostmaster.test")
        soa += struct.pack("!IIIII", 1, 3600, 600, 86400, negative_ttl)
        authority = record(".", SOA, negative_ttl, soa)
    if truncated:
        records, authority = [], b""
    log(f"{transport} {kind_name} {name} {'TC' if truncated else rcode} {len(records)}")
    # QR, the asker's RD, RA, and AA.
    reply_flags = 0x8480 | flags & 0x0100 | RCODES[rcode] | (0x0200 if truncated else 0)
    header = struct.pack("!HHHHHH", number, reply_flags, 1, len(records), 1 if authority else 0, 0)
    return header + question_bytes + b"".join(records) + authority


def any_of(records, kind):
    """True when a record of that type is among them; owners are uncompressed."""
    for wire in records:
        at = 0
        while wire[at]:
            at += wire[at] + 1
        if struct.unpack("!H", wire[at + 1:at + 3])[0] == kind:
            return True
    return False


class UDPHandler(socketserver.BaseRequestHandler):
    def handle(self):
        packet, sock = self.request
        reply = answer(self.server.zone, packet, "udp")
        if reply is not None:
            sock.sendto(reply, self.client_address)


class TCPHandler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(10)
        try:
            while True:
                head = self.read(2)
                reply = answer(self.server.zone, self.read(struct.unpack("!H", head)[0]), "tcp")
                if reply is None:
                    time.sleep(10)
                    return
                self.request.sendall(struct.pack("!H", len(reply)) + reply)
        except (EOFError, OSError):
            pass

    def read(self, count):
        data = b""
        while len(data) < count:
            part = self.request.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data


def servers(address, port, zone):
    """A UDP and a TCP server on the same port; a free one for port 0."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    class UDP(socketserver.ThreadingUDPServer):
        address_family = family
        daemon_threads = True
        max_packet_size = 65535

    class TCP(socketserver.ThreadingTCPServer):
        address_family = family
        allow_reuse_address = True
        daemon_threads = True

    for _ in range(50):
        udp = UDP((address, port), UDPHandler)
        try:
            tcp = TCP((address, udp.server_address[1]), TCPHandler)
        except OSError:
            udp.server_close()
            if port:
                raise
            continue
        udp.zone = tcp.zone = zone
        return udp, tcp
    sys.exit("no port is free for both UDP and TCP")


def main():
    parser = argparse.ArgumentParser(description="A scripted name server for tests.")
    parser.add_argument("--zone", required=True, help="JSON file with the names")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5353, help="0: a free one")
    arguments = parser.parse_args()
    udp, tcp = servers(arguments.address, arguments.port, Zone(arguments.zone))
    threading.Thread(target=tcp.serve_forever, daemon=True).start()
    log(f"ready {udp.server_address[1]}")
    try:
        udp.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
