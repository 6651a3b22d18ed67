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
import random
import shutil
import sys
import tempfile
import time

from test_bed import CONNECTIONS, Load, Relay, Sink, configuration, digest_of, free_port, judged


class SmallLoad(Load):
    """What was sent, and what of it was acknowledged: a digest by key."""

    def __init__(self, port, clients, seed):
        self.acknowledged = {}
        self.sent = {}
        super().__init__(port, clients, seed)

    def submit(self, client, key, dice):
        size = 400_000 if dice.random() < 0.01 else int(dice.paretovariate(1.2) * 800) % 60_000
        content = f"Subject: {key}\r\n\r\n"
        while len(content) < size:
            content += f".{key} {dice.random()}\r\n"
        content = content.encode()
        with self.lock:
            self.sent[key] = hashlib.sha256(content).digest()
        client.send("MAIL FROM:<alice@origin.test>", f"RCPT TO:<{key}@example.test>", "DATA")
        for code in ("250", "250", "354"):
            client.expect(code)
        client.send_content(content)
        client.expect("250 2.0.0")
        with self.lock:
            self.acknowledged[key] = self.sent[key]


class Store:
    """What the sink took: the digest of each copy, by key."""

    def __init__(self, sink):
        self.sink = sink
        self.copies = {}

    def read(self):
        for recipients, _, content, _ in self.sink.take():
            key = recipients[0].partition("@")[0]
            self.copies.setdefault(key, []).append(digest_of(content))
        return self.copies


def main():
    parser = argparse.ArgumentParser(description="Kills a relay under load, again and again.")
    parser.add_argument("--binary", default=".build/debug/ekiden")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="ekiden-crash-")
    if judged(directory, lambda: go(arguments, directory)):
        return 1
    shutil.rmtree(directory)
    return 0


def go(arguments, directory):
    dice = random.Random(arguments.seed)
    sink_port = free_port()
    relay = Relay(arguments.binary, directory, free_port())
    with open(f"{directory}/ekiden.toml", "w", encoding="utf-8") as file:
        file.write(configuration(
            f"{directory}/spool", relay.port, segment="4MiB", first_retry="1s",
            routes=(("sink", "*", sink_port),)))
    sink = Sink(arguments.binary, sink_port, f"{directory}/store")
    store = Store(sink)
    load = None
    try:
        relay.start()
        relay.await_listener()
        load = SmallLoad(relay.port, arguments.clients, arguments.seed)
        for number in range(arguments.rounds):
            time.sleep(0.2 + dice.random())
            relay.kill()
            relay.start()
            seconds = relay.await_listener()
            print(f"round {number + 1}: {len(load.acknowledged)} acknowledged, "
                  f"started in {seconds:.2f} s", flush=True)
        load.stop()
        end = time.monotonic() + 120
        while time.monotonic() < end and load.acknowledged.keys() - store.read().keys():
            time.sleep(0.1)
        return judge(load, store, arguments.rounds)
    finally:
        if load:
            load.over = True
        relay.stop(30)
        sink.end()


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
