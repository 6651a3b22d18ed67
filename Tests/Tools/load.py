#!/usr/bin/env python3
"""How the relay bears a crowd: thousands of idle connections (in the clear, after STARTTLS, under TLS
from the start), hundreds that drip, a flood, one client that wants everything, and too few
descriptors. Each scene starts a relay of its own, says what it measured and ends with status 1 when
something did not hold. Figures are only as good as the machine is quiet: others' load is printed.

    load.py --binary .build/release/ekiden [--only idle,slow] [--connections 10000]

Clients come from many addresses of 127.0.0.0/8, as each may have so many connections. Python's
standard library and openssl(1) for a certificate."""

import argparse
import asyncio
import os
import resource
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

from test_bed import free_port

PER_CLIENT = 200
MESSAGE = (b"Subject: load\r\n\r\n" + (b"x" * 72 + b"\r\n") * 55)


def source(number):
    """A loopback address for the n-th connection."""
    client = number // PER_CLIENT
    return f"127.1.{client // 250}.{client % 250 + 1}"


class Scene:
    """A relay with a plain listener (STARTTLS) and one under TLS, and a sink behind it."""

    def __init__(self, options, settings="", descriptors=None):
        self.options = options
        self.directory = tempfile.mkdtemp(prefix="ekiden-load-")
        self.port, self.tls_port, sink = free_port(), free_port(), free_port()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=relay.test", "-keyout", self.path("key.pem"),
             "-out", self.path("cert.pem")], check=True, capture_output=True)
        os.chmod(self.path("key.pem"), 0o600)
        listener = lambda name, role, port: f"""
[[listener]]
name = "{name}"
role = "{role}"
listen = ["127.0.0.1:{port}"]
{settings or 'max_connections = 12000'}
"""
        with open(self.path("ekiden.toml"), "w") as file:
            file.write(f"""
[relay]
hostname = "relay.test"
postmaster = "postmaster@relay.test"
[log]
level = "warning"
[[certificate]]
name = "mail"
chain = "{self.path('cert.pem')}"
key = "{self.path('key.pem')}"
{listener("relay", "relay", self.port)}{listener("secure", "submissions", self.tls_port)}
[spool]
directory = "{self.path('spool')}"
min_free_space = "64MiB"
[[route]]
name = "sink"
domains = ["*"]
hosts = ["127.0.0.1:{sink}"]
""")
        self.log = open(self.path("relay.log"), "wb")
        self.sink = subprocess.Popen(
            [options.binary, "sink", "--listen", f"127.0.0.1:{sink}", "--print", "none"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def prepare():
            limit = descriptors or resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        self.relay = subprocess.Popen(
            [options.binary, "serve", "--config", self.path("ekiden.toml")],
            stdout=self.log, stderr=self.log, preexec_fn=prepare)
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.tls_port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > until or self.relay.poll() is not None:
                    raise SystemExit(f"the relay does not start:\n{self.log_text()}")
                time.sleep(0.01)
        time.sleep(0.3)

    def path(self, name):
        return f"{self.directory}/{name}"

    def log_text(self):
        with open(self.path("relay.log"), errors="replace") as file:
            return file.read()

    def memory(self):
        """Resident KiB: all, and what is the process's own."""
        with open(f"/proc/{self.relay.pid}/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        return int(lines["VmRSS"].split()[0]), int(lines["RssAnon"].split()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in (self.relay, self.sink):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in (self.relay, self.sink):
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.log.close()
        if self.options.keep:
            print(f"  kept: {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


# ---- Clients


async def connect(scene, number=0, secure=False):
    port = scene.tls_port if secure else scene.port
    return await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(source(number), 0), ssl=scene.context if secure else None)


async def reply(reader):
    while True:
        line = await asyncio.wait_for(reader.readline(), 60)
        if len(line) < 4:
            raise ConnectionError("closed")
        if line[3:4] != b"-":
            return line.decode("ascii", "replace").rstrip()


async def say(streams, line, expected):
    reader, writer = streams
    writer.write(line + b"\r\n")
    answer = await reply(reader)
    if not answer.startswith(expected):
        raise ConnectionError(f"{line!r}: {answer}")
    return answer


async def transaction(scene, number=0, secure=False):
    """A well-behaved client with one message; seconds from connect to the reply to QUIT."""
    began = time.perf_counter()
    streams = await connect(scene, number, secure)
    if not (await reply(streams[0])).startswith("220"):
        raise ConnectionError("no greeting")
    await say(streams, b"EHLO client.test", "250")
    await say(streams, b"MAIL FROM:<a@origin.test>", "250")
    await say(streams, b"RCPT TO:<b@example.test>", "250")
    await say(streams, b"DATA", "354")
    streams[1].write(MESSAGE)
    await say(streams, b".", "250")
    await say(streams, b"QUIT", "221")
    took = time.perf_counter() - began
    streams[1].close()
    return took


async def many(count, at_once, work):
    """Runs work(number) for each number, so many at a time; their results or exceptions."""
    gate = asyncio.Semaphore(at_once)

    async def one(number):
        async with gate:
            try:
                return await work(number)
            except (OSError, ConnectionError, asyncio.TimeoutError, ssl.SSLError) as failure:
                return failure
    return await asyncio.gather(*(one(number) for number in range(count)))


def failures(results):
    bad = [result for result in results if isinstance(result, BaseException)]
    if bad:
        print(f"  {len(bad)} failed, the first: {bad[0]!r}")
    return len(bad)


def spread(times):
    ordered = sorted(times)
    return (f"median {statistics.median(ordered) * 1000:.2f} ms, "
            f"p99 {ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000:.2f} ms")


def undisturbed(alone, beside):
    """Whether a transaction takes about as long beside a crowd as alone: three times as long, in the
    median or the slowest hundredth, is not that; a few milliseconds are the noise of the machine."""
    def last(times):
        return sorted(times)[int(len(times) * 0.99) - 1]
    middle = statistics.median(beside) / statistics.median(alone)
    print(f"  beside them a transaction takes {middle:.2f} times as long (median), "
          f"{last(beside) / last(alone):.2f} times (p99)")
    return (statistics.median(beside) <= 3 * statistics.median(alone) + 0.001
            and last(beside) <= 3 * last(alone) + 0.02)


# ---- Scenes: each returns whether all held


async def idle(options, how):
    """Connections that say EHLO and then nothing."""
    with Scene(options) as scene:
        alone = [await transaction(scene, 10_500 + n // 50) for n in range(200)]
        before = scene.memory()

        async def rest(number):
            streams = await connect(scene, number, secure=how == "tls")
            await reply(streams[0])
            await say(streams, b"EHLO client.test", "250")
            if how == "starttls":
                await say(streams, b"STARTTLS", "220")
                await streams[1].start_tls(scene.context)
                await say(streams, b"EHLO client.test", "250")
            return streams
        began = time.monotonic()
        open_ones = await many(options.connections, 100, rest)
        took = time.monotonic() - began
        bad = failures(open_ones)
        await asyncio.sleep(2)
        after = scene.memory()
        latency = [await transaction(scene, 10_500 + n // 50) for n in range(200)]
        count = options.connections - bad
        per = (after[0] - before[0]) * 1024 / max(count, 1)
        print(f"  {count} idle ({how}) in {took:.1f} s: RSS {after[0] / 1024:.1f} MiB "
              f"(anonymous {after[1] / 1024:.1f}), before {before[0] / 1024:.1f}: "
              f"{per:.0f} bytes each; a transaction beside them: {spread(latency)}")
        for streams in open_ones:
            if not isinstance(streams, BaseException):
                streams[1].transport.abort()
        calm = undisturbed(alone, latency)
        await asyncio.sleep(1)
        return bad == 0 and calm and (how != "plain" or after[0] < 100_000_000 / 1024)


def client_hello(context):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="relay.test").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class Ports:
    """A relay that another process started."""

    def __init__(self, text):
        self.port, self.tls_port = (int(port) for port in text.split(","))
        self.context = ssl.create_default_context()


async def drip_on(options):
    """The process whose bytes drip, so that it is not in the way of the one that measures; says how
    many it has, by kind, and goes on until it is ended."""
    scene = Ports(options.drip)
    hello = client_hello(scene.context)
    alive = [0, 0, 0]

    async def drip(number):
        kind = number % 3
        if kind == 2:
            streams = await asyncio.open_connection(
                "127.0.0.1", scene.tls_port, local_addr=(source(number), 0))
            text = hello
        else:
            streams = await connect(scene, number)
            await reply(streams[0])
            text = b"EHLO " + b"a" * 1000
        if kind == 1:
            await say(streams, b"EHLO client.test", "250")
            await say(streams, b"MAIL FROM:<a@origin.test>", "250")
            await say(streams, b"RCPT TO:<b@example.test>", "250")
            await say(streams, b"DATA", "354")
            text = b"Subject: slow\r\n\r\n" + b"x" * 100_000
        alive[kind] += 1
        for byte in text:
            streams[1].write(bytes([byte]))
            await asyncio.sleep(0.2)
        await asyncio.sleep(3600)

    dripping = asyncio.create_task(many(options.slow, options.slow, drip))
    await asyncio.sleep(3)
    print(*alive, flush=True)
    await dripping
    return True


async def slow(options):
    """Hundreds whose bytes drip, in commands, in a message and in the TLS handshake."""
    with Scene(options) as scene:
        async def measure(secure=False):
            return [await transaction(scene, 10_000 + n // 50, secure)
                    for n in range(options.rounds)]
        await measure()
        quiet, quiet_secure = await measure(), await measure(True)
        dripping = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--binary", options.binary, "--only", "drip",
             "--slow", str(options.slow), "--drip", f"{scene.port},{scene.tls_port}"],
            stdout=subprocess.PIPE, text=True)
        try:
            dripping.stdout.readline()
            alive = [int(word) for word in dripping.stdout.readline().split()]
            busy, busy_secure = await measure(), await measure(True)
        finally:
            dripping.kill()
            dripping.wait()
        print(f"  alone: {spread(quiet)}; beside {sum(alive)} that drip {tuple(alive)}: "
              f"{spread(busy)}")
        print(f"  under TLS alone: {spread(quiet_secure)}; beside them: {spread(busy_secure)}")
        calm = undisturbed(quiet, busy)
        return undisturbed(quiet_secure, busy_secure) and calm and sum(alive) == options.slow


async def flood(options):
    """Two thousand at once, into a house with room and into one without."""
    held = True
    for room, settings in ((True, "max_connections = 3000"), (False, "max_connections = 1000")):
        with Scene(options, settings) as scene:
            began = time.monotonic()
            if room:
                results = await many(
                    options.flood, options.flood, lambda n: transaction(scene, n))
                bad = failures(results)
                times = [r for r in results if not isinstance(r, BaseException)]
                print(f"  {len(times)} of {options.flood} at once handed in a message each, "
                      f"in {time.monotonic() - began:.1f} s: {spread(times)}")
                held &= bad == 0
            else:
                open_ones = await many(options.flood, options.flood, lambda n: connect(scene, n))
                answers = await many(
                    options.flood, options.flood, lambda n: first_word(open_ones[n]))
                codes = {code: answers.count(code) for code in ("220", "421")}
                print(f"  {options.flood} at once where 1000 have room: {codes}, answered in "
                      f"{time.monotonic() - began:.1f} s")
                held &= codes == {"220": 1000, "421": options.flood - 1000}
                for streams in open_ones:
                    if not isinstance(streams, BaseException):
                        streams[1].transport.abort()
                await asyncio.sleep(1)
                await transaction(scene, 9000)
            held &= scene.relay.poll() is None
    return held


async def first_word(streams):
    if isinstance(streams, BaseException):
        raise streams
    return (await reply(streams[0]))[:3]


async def hog(options):
    """One client that wants every slot."""
    with Scene(options, "max_connections = 1000") as scene:
        async def grab(_):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", scene.port, local_addr=("127.2.0.1", 0))
            return (await reply(reader))[:3], writer
        alone = [await transaction(scene, n) for n in range(200)]
        got = await many(1200, 200, grab)
        bad = failures(got)
        codes = [one[0] for one in got if not isinstance(one, BaseException)]
        others = [await transaction(scene, n) for n in range(200)]
        print(f"  1200 from one address: {codes.count('220')} served, {codes.count('421')} told "
              f"421; others meanwhile: {spread(others)}")
        calm = undisturbed(alone, others)
        return bad == 0 and calm and codes.count("220") == 250 and codes.count("421") == 950


async def short_hog(options):
    """The same where the process has few descriptors, and the listener would grant it all of them."""
    with Scene(options, "max_connections = 1000\nmax_connections_per_client = 1000",
               descriptors=128) as scene:
        async def grab(_):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", scene.port, local_addr=("127.2.0.1", 0))
            return (await reply(reader))[:3], writer
        got = await many(120, 120, grab)
        served = sum(not isinstance(one, BaseException) and one[0] == "220" for one in got)
        others = [await transaction(scene, n) for n in range(50)]
        print(f"  120 from one address with 128 descriptors: {served} served; others meanwhile: "
              f"{spread(others)}")
        return 0 < served < 120


async def descriptors(options):
    """As many connections as there are no descriptors for."""
    with Scene(options, "max_connections = 1000", descriptors=128) as scene:
        open_ones = await many(400, 400, lambda n: connect(scene, n))
        answers = await many(400, 400, lambda n: first_word(open_ones[n]))
        codes = {code: answers.count(code) for code in ("220", "421")}
        alive = scene.relay.poll() is None
        for streams in open_ones:
            if not isinstance(streams, BaseException):
                streams[1].transport.abort()
        await asyncio.sleep(1)
        took = await transaction(scene, 9000)
        pauses = scene.log_text().count("pausing")
        print(f"  400 at once with 128 descriptors: {codes}, {400 - sum(codes.values())} without an "
              f"answer, {pauses} pauses said; afterwards a transaction in {took * 1000:.1f} ms")
        return alive and sum(codes.values()) == 400


SCENES = {
    "idle": lambda options: idle(options, "plain"),
    "idle-starttls": lambda options: idle(options, "starttls"),
    "idle-tls": lambda options: idle(options, "tls"),
    "slow": slow, "flood": flood, "hog": hog, "short-hog": short_hog, "descriptors": descriptors,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--only", default=",".join(SCENES))
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--slow", type=int, default=500)
    parser.add_argument("--drip", help=argparse.SUPPRESS)
    parser.add_argument("--flood", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--keep", action="store_true", help="keep the relay's files")
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = True
    if options.drip:
        print("dripping", flush=True)
        asyncio.run(drip_on(options))
        return
    for name in options.only.split(","):
        print(f"{name}: (load average {os.getloadavg()[0]:.1f})", flush=True)
        if not asyncio.run(SCENES[name](options)):
            held = False
            print(f"  {name} DID NOT HOLD", flush=True)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
