#!/usr/bin/env python3
"""Cuts the power under a relay again and again and checks that it keeps its word. By hand:

    power_cut.py --binary .build/release/ekiden --cuts 60 --seed 1

power_cut.c, loaded into the relay, writes down every change the relay makes below its spool. At a
random moment of a mixed load the relay is killed, and from that journal the spool is put together
anew as a power cut might have left it: all that a sync which had ended made durable, and of the rest
any part, down to single sectors and single names; the contract is that of `Disk` (EkidenRuntime).
The relay starts on what is left, and so on. What might have been left at other moments before the
cut is examined, too: what was acknowledged by then must be in it, unless it had arrived. In the end
everything that was acknowledged must have been delivered, byte for byte, or bounced where the
recipient was refused; nothing may be found damaged, by `spool verify` or by the relay; what was
delivered twice must have been delivered just before a cut.

Two things keep the tool honest. Before each cut all changes in the journal, put together, must be
what is on the disk, so nothing escapes the journal; and with --lie the syncs of files, of
directories, or all, count for nothing, which must be found out (exit status 1).

Exit status 0: it kept its word. 1: it did not; the directory with spool, journals and images is
kept. Python's standard library and a C compiler only.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from power_cut_disk import Disk, put_down, records
from test_bed import Broken, Load, Relay, Sink, configuration, digest_of, free_port, judged

# What Promise 3 allows: marks are synced within this.
MARKS_SECONDS = 0.020
# A sink may take what was sent this long before.
SINK_SECONDS = 0.25
# Behind the number of the life in what the relay calls itself.
LIFE = "life.relay.test"
# What a busy machine may add to it.
SLACK_SECONDS = 0.5


# ---- The load, and what it was promised


class Message:
    def __init__(self, key, content, good, refused, slow):
        self.key, self.content_length = key, len(content)
        self.digest = hashlib.sha256(content).digest()
        self.recipients, self.refused = good + slow, refused
        self.acknowledged = None  # when


class MixedLoad(Load):
    """Empty to 2 MiB, recipients that are refused, and a next hop that has no time for a while."""

    def __init__(self, port, clients, seed):
        self.messages = {}
        self.replies = {}
        self.pool = random.Random(seed).randbytes(1 << 20).hex().encode()
        super().__init__(port, clients, seed)

    def acknowledged(self, until=float("inf")):
        with self.lock:
            return [m for m in self.messages.values() if m.acknowledged and m.acknowledged < until]

    def content(self, key, dice):
        kind = dice.random()
        if kind < 0.05:
            return b""
        if kind < 0.08:
            size = dice.randrange(300_000, 2 << 20)
        elif kind < 0.12:
            size = dice.randrange(255_000, 270_000)
        else:
            size = int(dice.paretovariate(1.2) * 600) % 60_000
        lines = [f"Subject: {key}\r\n\r\n".encode()]
        size -= len(lines[0])
        at = dice.randrange(1 << 20)
        while size > 0:
            line = (b"." if dice.random() < 0.05 else b"") + self.pool[at:at + 900] + b"\r\n"
            lines.append(line)
            size -= len(line)
            at = (at + 900) % (1 << 20)
        return b"".join(lines)

    def submit(self, client, key, dice):
        good = [f"to{n}-{key}@d{dice.randrange(3)}.test" for n in range(dice.choice((1, 1, 1, 2, 5)))]
        refused, slow = [], []
        if dice.random() < 0.15:
            refused = [f"bad{n}-{key}@d0.test" for n in range(dice.choice((1, 2)))]
            if dice.random() < 0.3:
                good = []
        if dice.random() < 0.1:
            slow = [f"slow-{key}@slow.test"]
        content = self.content(key, dice)
        message = Message(key, content, good, refused, slow)
        with self.lock:
            self.messages[key] = message
        client.ask(f"MAIL FROM:<from-{key}@origin.test>")
        for recipient in good + refused + slow:
            client.ask(f"RCPT TO:<{recipient}>")
        if not client.ask("DATA").startswith("354"):
            client.ask("RSET")
            return
        client.send_content(content)
        reply = client.reply()
        with self.lock:
            if reply.startswith("250"):
                message.acknowledged = time.time()
            else:
                self.replies[reply] = self.replies.get(reply, 0) + 1


# ---- The world around the relay


class World:
    def __init__(self, arguments, directory):
        self.arguments, self.directory = arguments, directory
        self.sink_port, self.slow_port = free_port(), free_port()
        self.spool = f"{directory}/spool"
        self.relay = Relay(arguments.binary, directory, free_port())
        self.lives, self.log_read = 0, 0
        self.sinks = [Sink(arguments.binary, self.sink_port, f"{directory}/sink",
                           "rcpt~bad=550:5.1.1:no such user")]
        self.slow = None
        self.let_slow(False)
        self.shim = f"{directory}/power_cut.so"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "power_cut.c")
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", self.shim, source],
                       check=True)

    def let_slow(self, takes):
        """Whether the slow host takes mail. Only while nothing is under way to it."""
        if self.slow:
            self.slow.end()
        self.takes = takes
        self.slow = Sink(self.arguments.binary, self.slow_port, f"{self.directory}/slow-{len(self.sinks)}",
                         "rcpt~nobody=450:4.2.1:no" if takes else "rcpt=450:4.2.1:no time")
        self.sinks.append(self.slow)

    @property
    def journal(self):
        return f"{self.directory}/journal-{self.lives}"

    def start(self, delay):
        self.lives += 1
        # What it sends says which life of it sent it.
        with open(f"{self.directory}/ekiden.toml", "w", encoding="utf-8") as file:
            file.write(configuration(
                self.spool, self.relay.port, segment=self.arguments.segment, first_retry="2s",
                routes=(("slow", "slow.test", self.slow_port), ("sink", "*", self.sink_port)),
                helo=f"{self.lives}.{LIFE}"))
        with open(self.journal, "wb"):
            pass
        self.relay.start(
            LD_PRELOAD=self.shim, POWER_CUT_ROOT=self.spool, POWER_CUT_JOURNAL=self.journal,
            POWER_CUT_DELAY=str(delay))

    def verify(self, directory):
        """What `spool verify` says when it finds damage; None when it finds none."""
        done = subprocess.run([self.arguments.binary, "spool", "verify", directory],
                              capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else (done.stdout + done.stderr).strip()

    def queue(self, directory):
        """What `spool export` finds in a spool."""
        target = f"{self.directory}/exported"
        subprocess.run([self.arguments.binary, "spool", "export", directory, "--to", target],
                       capture_output=True, check=False)
        queue = Queue()
        for name in os.listdir(target) if os.path.isdir(target) else ():
            # A damaged message has an envelope only, and doesn't count.
            if name.endswith(".eml"):
                with open(f"{target}/{name}", "rb") as file:
                    content = file.read()
                with open(f"{target}/{name.removesuffix('.eml')}.envelope", encoding="utf-8") as file:
                    queue.add(file.read(), content)
        shutil.rmtree(target, ignore_errors=True)
        return queue

    def damaged(self):
        try:
            return sorted(os.listdir(f"{self.spool}/damaged"))
        except FileNotFoundError:
            return []

    def errors(self):
        """What the relay logged as an error since it was last asked."""
        with open(f"{self.directory}/relay.log", encoding="utf-8", errors="replace") as file:
            file.seek(self.log_read)
            lines = file.readlines()
            self.log_read = file.tell()
        return [line.strip() for line in lines if " error " in line[:40]]

    def end(self):
        self.relay.stop(30)
        for sink in self.sinks:
            sink.end()


# ---- Judging


def refused_in(bounce):
    """The recipients a delivery report speaks of."""
    return [line.split(b";")[1].strip().decode() for line in bounce.split(b"\r\n")
            if line.lower().startswith(b"final-recipient:")]


def key_of(address):
    return address.partition("@")[0].partition("-")[2]


class Queue:
    """What waits in a spool: recipients, also those a waiting bounce speaks of, and digests by key."""

    def __init__(self):
        self.recipients = set()
        self.contents = {}

    def add(self, envelope, content):
        for line in envelope.splitlines():
            if not line.startswith("to: <"):
                continue
            recipient, _, state = line[len("to: <"):].partition("> ")
            if recipient.startswith("from-"):
                self.recipients.update(refused_in(content))
                continue
            self.contents[key_of(recipient)] = digest_of(content)
            if state.startswith("pending"):
                self.recipients.add(recipient)


class Arrivals:
    """Copies by recipient, and bounces by the recipient they speak of."""

    def __init__(self, load):
        self.load = load
        # Life and time of each copy.
        self.copies = {}
        self.changed = []

    def take(self, sinks):
        for sink in sinks:
            for recipients, when, content, helo in sink.take():
                copy = (int(helo.removesuffix("." + LIFE)), when)
                if recipients[0].startswith("from-"):
                    for recipient in refused_in(content):
                        self.add(recipient, copy)
                    continue
                for recipient in recipients:
                    if self.load.messages[key_of(recipient)].digest != digest_of(content):
                        self.changed.append(recipient)
                    self.add(recipient, copy)

    def add(self, recipient, copy):
        self.copies.setdefault(recipient, []).append(copy)

    def missing(self):
        return [recipient for message in self.load.acknowledged()
                for recipient in message.recipients + message.refused
                if recipient not in self.copies]

    def doubled(self, cuts):
        """How long before the end of its life each first copy came; None where both are of one life."""
        ages = []
        for copies in self.copies.values():
            copies.sort()
            for first, second in zip(copies, copies[1:]):
                if first[0] == second[0]:
                    ages.append((None, 0))
                else:
                    # A life ends with the cut of its number.
                    when, sync = cuts[first[0] - 1]
                    ages.append((when - first[1], sync))
        return ages


class Run:
    """The cuts, one after another, and what became known on the way."""

    def __init__(self, arguments, directory):
        self.arguments = arguments
        self.dice = random.Random(arguments.seed)
        self.world = World(arguments, directory)
        self.counts = dict.fromkeys(
            ("writes", "writes dropped", "writes torn", "names", "names dropped"), 0)
        self.cuts = []  # when, and the longest sync until then
        self.waits = []  # how long the log's bytes waited for their sync, beyond what is promised
        self.examined = 0
        self.starts = []
        self.complaints = []
        self.image = {}
        self.damaged = []
        self.load = self.arrivals = None
        os.mkdir(self.world.spool, 0o700)

    def complain(self, what):
        lines = what.splitlines()
        print(f"cut {len(self.cuts)}: " + "\n  ".join(lines[:8]), flush=True)
        self.complaints.append(what)

    # A cut, and what else the journal says might have been

    def cut(self):
        world = self.world
        when = world.relay.kill()
        self.arrivals.take(world.sinks)
        disk = Disk(self.image, self.arguments.lie, self.arguments.share)
        total = sum(1 for _ in records(world.journal))
        stops = sorted(self.dice.randrange(total) for _ in range(self.arguments.looks if total else 0))
        for number, time_of_record in enumerate(disk.read(world.journal)):
            while stops and number == stops[0]:
                stops.pop(0)
                self.look(disk, time_of_record)
        self.cuts.append((when, disk.longest_sync))
        wait = disk.wait_until(when)
        self.waits.append((wait, wait - MARKS_SECONDS - 2 * disk.longest_sync))
        different = disk.differences(world.spool)
        if different:
            raise Broken(f"the journal does not explain what is on the disk: {different}")
        self.image = disk.after_cut(self.dice, self.counts)
        if self.arguments.keep:
            os.rename(world.spool, f"{world.directory}/spool-at-{len(self.cuts)}")
        else:
            shutil.rmtree(world.spool)
            if world.lives > 5:
                os.remove(f"{world.directory}/journal-{world.lives - 5}")
        put_down(self.image, world.spool)
        if self.arguments.keep:
            shutil.copytree(world.spool, f"{world.directory}/image-{len(self.cuts)}")
        self.examine(self.image, world.spool, when)
        if self.complaints and self.arguments.lie:
            raise Broken(f"the lie was found out after {len(self.cuts)} cuts, "
                         f"{self.examined} spools examined")

    def look(self, disk, when):
        """Had the power failed right then: the relay is not started on it, but all is examined."""
        directory = f"{self.world.directory}/look-{self.examined}"
        image = disk.after_cut(self.dice, self.counts)
        put_down(image, directory)
        before = len(self.complaints)
        self.examine(image, directory, when)
        if len(self.complaints) == before:
            shutil.rmtree(directory)

    def examine(self, image, directory, when):
        """Whether a spool has all that was acknowledged until then and had not arrived."""
        self.examined += 1
        queued = Queue()
        if "log" in image:
            damage = self.world.verify(directory)
            if damage:
                self.complain(f"{directory}: spool verify: {damage}")
            queued = self.world.queue(directory)
        lost = []
        for message in self.load.acknowledged(until=when):
            if queued.contents.get(message.key, message.digest) != message.digest:
                self.complain(f"{directory}: {message.key} has changed")
            for recipient in message.recipients + message.refused:
                arrived = self.arrivals.copies.get(recipient, [(0, when + SINK_SECONDS)])[0][1]
                if recipient not in queued.recipients and arrived >= when + SINK_SECONDS:
                    lost.append(f"{recipient} ({message.content_length} bytes, acknowledged "
                                f"{(when - message.acknowledged) * 1000:.1f} ms before)")
        if lost:
            self.complain(f"{directory}: {len(lost)} lost: " + ", ".join(lost[:5]))

    def started(self):
        self.starts.append(self.world.relay.await_listener())
        self.check()

    def check(self):
        """Whether the relay itself found anything wrong."""
        if self.world.damaged() != self.damaged:
            self.damaged = self.world.damaged()
            self.complain(f"in damaged/: {self.damaged}")
        for line in self.world.errors():
            self.complain(f"the relay says: {line}")

    # From the first start to the verdict

    def go(self):
        world, dice, arguments = self.world, self.dice, self.arguments
        try:
            world.start(arguments.delay)
            self.started()
            self.load = load = MixedLoad(world.relay.port, arguments.clients, arguments.seed)
            self.arrivals = Arrivals(load)
            while len(self.cuts) < arguments.cuts - 1:
                time.sleep(2 if dice.random() < 0.1 else 0.1 + 0.7 * dice.random())
                self.cut()
                if dice.random() < 0.3:
                    world.let_slow(not world.takes)
                world.start(dice.choice((0, arguments.delay // 8, arguments.delay)))
                while dice.random() < 0.2 and len(self.cuts) < arguments.cuts - 1:
                    # Once more, while it recovers.
                    time.sleep(0.1 * dice.random())
                    self.cut()
                    world.start(arguments.delay)
                self.started()
                print(f"cut {len(self.cuts)}: {len(load.acknowledged())} acknowledged, "
                      f"{len(self.arrivals.copies)} arrived, started in {self.starts[-1]:.2f} s",
                      flush=True)
            time.sleep(0.3)
            load.stop()
            self.cut()
            world.let_slow(True)
            world.start(0)
            self.started()
            self.drain()
            if world.relay.stop(60) != 0:
                self.complain("the relay did not stop well")
            self.check()
            damage = world.verify(world.spool)
            if damage:
                self.complain(f"spool verify at the end: {damage}")
            return self.judge()
        finally:
            if self.load:
                self.load.over = True
            world.end()

    def drain(self):
        """Until all is there, or nothing has come for a while."""
        last, count = time.monotonic(), -1
        while time.monotonic() < last + 15:
            self.arrivals.take(self.world.sinks)
            if not self.arrivals.missing():
                break
            if len(self.arrivals.copies) != count:
                last, count = time.monotonic(), len(self.arrivals.copies)
            time.sleep(0.2)
        # Copies too many may still come.
        time.sleep(1)
        self.arrivals.take(self.world.sinks)

    def judge(self):
        load, arrivals = self.load, self.arrivals
        missing = arrivals.missing()
        ages = arrivals.doubled(self.cuts)
        without = sum(age is None for age, _ in ages)
        known = sorted(age for age, _ in ages if age is not None)
        late = [age for age, sync in ages
                if age is not None and age > MARKS_SECONDS + sync + SLACK_SECONDS]
        beyond = sum(age is not None and age > MARKS_SECONDS + sync for age, sync in ages)
        acknowledged = load.acknowledged()
        kinds = {"recipients": sum(len(m.recipients) + len(m.refused) for m in acknowledged),
                 "large": sum(m.content_length > 256 << 10 for m in acknowledged),
                 "empty": sum(m.content_length == 0 for m in acknowledged),
                 "to be bounced": sum(bool(m.refused) for m in acknowledged)}
        print(f"{len(self.cuts)} cuts, {self.examined} spools examined; {len(acknowledged)} messages "
              "acknowledged (" + ", ".join(f"{n} {name}" for name, n in kinds.items()) + ")")
        print("not durable at a cut: " + ", ".join(f"{n} {what}" for what, n in self.counts.items()))
        print(f"{len(missing)} recipients lost, {len(arrivals.changed)} copies changed, "
              f"{len(self.complaints)} complaints; slowest start {max(self.starts):.2f} s")
        print(f"{len(ages)} copies too many: first delivered at most "
              f"{max(known, default=0) * 1000:.0f} ms before a cut (median "
              f"{known[len(known) // 2] * 1000 if known else 0:.0f} ms), {beyond} of them more than "
              f"20 ms and the longest sync, {len(late)} too long before, {without} without a cut")
        longest, slowest = max(self.waits)[0], max(sync for _, sync in self.cuts)
        tardy = sum(beyond > SLACK_SECONDS for _, beyond in self.waits)
        print(f"what was written to the log was durable after {longest * 1000:.0f} ms at most, in which "
              f"a sync took up to {slowest * 1000:.0f} ms; too late for {tardy} cuts")
        for reply, count in sorted(load.replies.items()):
            print(f"{count} times at the final dot: {reply}")
        for recipient in missing[:20]:
            message = load.messages[key_of(recipient)]
            cut = sum(when < message.acknowledged for when, _ in self.cuts) + 1
            print(f"lost: {recipient}, {message.content_length} bytes, acknowledged before cut {cut}")
        for recipient in arrivals.changed[:20]:
            print(f"changed: {recipient}")
        slow = self.arguments.times and (late or tardy)
        return bool(missing or arrivals.changed or self.complaints or without or slow)


def main():
    parser = argparse.ArgumentParser(description="Cuts the power under a relay, again and again.")
    parser.add_argument("--binary", default=".build/debug/ekiden")
    parser.add_argument("--cuts", type=int, default=60)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--segment", default="1MiB", help="size of a segment of the log")
    parser.add_argument("--delay", type=int, default=40_000, metavar="MICROSECONDS",
                        help="a sync takes up to this")
    parser.add_argument("--looks", type=int, default=3,
                        help="spools examined for each cut, of moments before it")
    parser.add_argument("--share", type=float, default=1.0, help="of the syncs that --lie means")
    parser.add_argument("--lie", choices=("files", "names", "all"),
                        help="count syncs of these for nothing")
    parser.add_argument("--times", action="store_true",
                        help="fail for what was too late, too: for a machine with nothing else to do")
    parser.add_argument("--keep", action="store_true", help="keep every journal and image")
    parser.add_argument("--directory", help="where to work; must not exist (else in memory if there is room)")
    arguments = parser.parse_args()
    arguments.lie = {"files": ("files",), "names": ("names",), "all": ("files", "names")}.get(
        arguments.lie, ())
    arguments.binary = os.path.abspath(arguments.binary)
    if arguments.directory:
        os.mkdir(arguments.directory)
    in_memory = os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 2 << 30
    directory = os.path.realpath(arguments.directory or tempfile.mkdtemp(
        prefix="ekiden-power-", dir="/dev/shm" if in_memory else None))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    if judged(directory, lambda: Run(arguments, directory).go()):
        return 1
    if not arguments.keep:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
