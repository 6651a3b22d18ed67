#!/usr/bin/env python3
"""Kills a relay under load again and again and checks that it keeps its word. By hand:

    crash_loop.py --binary .build/release/ekiden --rounds 50

Clients submit without pause over loopback and write down each message that was acknowledged with
`250 2.0.0`, and its hash. The relay is ended by SIGKILL at random moments and started again. After
the last round everything acknowledged must have reached the sink, intact; copies beyond the first
may be at most one for each connection to the sink and each kill. Exit status 0 says so; 1 names
what was lost, damaged or doubled and keeps the directory. Python's standard library only.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

CONNECTIONS = 8


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Load:
    """Clients, and what they were promised."""

    def __init__(self, port, clients, seed):
        self.port = port
        self.over = False
        self.lock = threading.Lock()
        self.acknowledged = {}
        self.sent = {}
        self.threads = [
            threading.Thread(target=self.run, args=(number, random.Random(seed * 1000 + number)))
            for number in range(clients)
        ]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join()

    def run(self, number, dice):
        count = 0
        while not self.over:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as sock:
                    stream = sock.makefile("rb")
                    self.expect(stream, b"220")
                    sock.sendall(b"EHLO client.test\r\n")
                    self.expect(stream, b"250")
                    while not self.over:
                        count += 1
                        self.submit(sock, stream, f"c{number}-{count}", dice)
            except (OSError, EOFError, ValueError):
                time.sleep(0.005)

    def submit(self, sock, stream, key, dice):
        size = 400_000 if dice.random() < 0.01 else int(dice.paretovariate(1.2) * 800) % 60_000
        body = f"Subject: {key}\r\nDate: now\r\nMessage-ID: <{key}@origin.test>\r\n\r\n"
        while len(body) < size:
            body += f".{key} {dice.random()}\r\n"
        with self.lock:
            self.sent[key] = hashlib.sha256(body.encode()).hexdigest()
        sock.sendall(
            f"MAIL FROM:<alice@origin.test>\r\nRCPT TO:<{key}@example.test>\r\nDATA\r\n".encode())
        for code in (b"250", b"250", b"354"):
            self.expect(stream, code)
        sock.sendall(body.replace("\r\n.", "\r\n..").encode() + b".\r\n")
        self.expect(stream, b"250 2.0.0")
        with self.lock:
            self.acknowledged[key] = self.sent[key]

    @staticmethod
    def expect(stream, code):
        while True:
            line = stream.readline()
            if not line:
                raise EOFError
            if line[3:4] != b"-":
                break
        if not line.startswith(code):
            raise ValueError(line)


class Store:
    """What the sink wrote: hash of each copy, by key."""

    def __init__(self, path):
        self.path = path
        self.copies = {}
        self.next = 1

    def read(self):
        while os.path.exists(f"{self.path}/{self.next:06}.json"):
            with open(f"{self.path}/{self.next:06}.json", encoding="utf-8") as file:
                key = json.load(file)["to"][0].split("@")[0]
            with open(f"{self.path}/{self.next:06}.eml", "rb") as file:
                content = file.read()
            # Without the Received field in front, folded lines and all.
            lines = content.split(b"\r\n")
            first = 1
            while lines[first][:1] in (b" ", b"\t"):
                first += 1
            body = b"\r\n".join(lines[first:])
            self.copies.setdefault(key, []).append(hashlib.sha256(body).hexdigest())
            os.remove(f"{self.path}/{self.next:06}.eml")
            self.next += 1
        return self.copies


def configuration(directory, port, sink):
    return f"""
[relay]
hostname = "relay.test"
[log]
level = "warning"
[[listener]]
name = "relay"
listen = ["127.0.0.1:{port}"]
[spool]
directory = "{directory}/spool"
segment_size = "4MiB"
min_free_space = "64MiB"
[retry]
first = "1s"
factor = 1.0
[sites]
connections_max = {CONNECTIONS}
backoff_first = "1s"
[delivery]
max_connections = {CONNECTIONS}
[[route]]
name = "sink"
domains = ["*"]
hosts = ["127.0.0.1:{sink}"]
"""


def start(binary, directory, port):
    log = open(f"{directory}/relay.log", "ab")
    child = subprocess.Popen(
        [binary, "serve", "--config", f"{directory}/ekiden.toml"], stdout=log, stderr=log)
    for _ in range(3000):
        if child.poll() is not None:
            sys.exit(f"the relay ended with {child.returncode}; see {directory}/relay.log")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return child
        except OSError:
            time.sleep(0.01)
    sys.exit("the relay does not listen")


def main():
    parser = argparse.ArgumentParser(description="Kills a relay under load, again and again.")
    parser.add_argument("--binary", default=".build/debug/ekiden")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    directory = tempfile.mkdtemp(prefix="ekiden-crash-")
    port, sink_port = free_port(), free_port()
    with open(f"{directory}/ekiden.toml", "w", encoding="utf-8") as file:
        file.write(configuration(directory, port, sink_port))
    sink = subprocess.Popen(
        [arguments.binary, "sink", "--listen", f"127.0.0.1:{sink_port}", "--print", "none",
         "--store", f"{directory}/store"], stderr=subprocess.DEVNULL)
    store = Store(f"{directory}/store")
    relay = None
    try:
        relay = start(arguments.binary, directory, port)
        load = Load(port, arguments.clients, arguments.seed)
        for number in range(arguments.rounds):
            time.sleep(0.2 + dice.random())
            relay.send_signal(signal.SIGKILL)
            relay.wait()
            before = time.monotonic()
            relay = start(arguments.binary, directory, port)
            print(f"round {number + 1}: {len(load.acknowledged)} acknowledged, "
                  f"started in {time.monotonic() - before:.2f} s", flush=True)
        load.stop()
        end = time.monotonic() + 120
        while time.monotonic() < end and load.acknowledged.keys() - store.read().keys():
            time.sleep(0.1)
        verdict = judge(load, store, arguments.rounds)
    finally:
        for child in (relay, sink):
            if child is not None and child.poll() is None:
                child.terminate()
                child.wait()
    if verdict:
        print(f"kept: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


def judge(load, store, kills):
    copies = store.read()
    lost = sorted(load.acknowledged.keys() - copies.keys())
    damaged = sorted(
        key for key, hashes in copies.items() if any(h != load.sent[key] for h in hashes))
    extra = sum(len(hashes) - 1 for hashes in copies.values())
    allowed = kills * CONNECTIONS
    print(f"{len(load.acknowledged)} acknowledged, {len(copies)} arrived, {len(lost)} lost, "
          f"{len(damaged)} damaged, {extra} extra copies ({allowed} allowed)")
    for name, keys in (("lost", lost), ("damaged", damaged)):
        if keys:
            print(f"{name}: {' '.join(keys[:20])}")
    return bool(lost or damaged or extra > allowed)


if __name__ == "__main__":
    sys.exit(main())
