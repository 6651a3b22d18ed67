// One end of a simulated connection, and the way between the two ends. Called by the loops'
// backends as the kernel would be; what it answers are counts and negated errnos.

import EkidenMail
import EkidenRuntime
import Glibc

/// The way between two sockets, and what is wrong with it.
final class SimLink {
    enum Side { case near, far }

    let world: SimWorld
    let random: SimRandom
    let text: String
    private let latency: ClosedRange<Duration>
    /// Bytes that may be on their way or unread, in each direction.
    let window: Int
    /// Largest piece that arrives at once.
    let piece: Int
    /// After so many bytes of both directions together it is reset, or nothing arrives any more.
    var breaksAfter = Int.max
    var vanishesAfter = Int.max
    var carried = 0
    /// Nothing arrives before what was sent earlier the same way.
    private var lastArrival: [Side: Instant] = [:]

    init(world: SimWorld, random: SimRandom, weather: SimWeather, text: String) {
        self.world = world
        self.random = random
        self.text = text
        latency = weather.latency
        let strikes = { (n: UInt64) in n > 0 && random.once(in: n) }
        window = strikes(weather.narrow) ? random.int(in: 1...600) : 65_536
        piece = strikes(weather.crumbling) ? random.pick([1, 2, 7, 100, 1000]) : .max
        // Small numbers are where the protocol's steps are.
        let reach = random.pick([60, 300, 2000, 100_000])
        if strikes(weather.breaking) { breaksAfter = random.int(in: 0...reach) }
        if strikes(weather.vanishing) { vanishesAfter = random.int(in: 0...reach) }
    }

    /// A byte or a flag takes its time from one end to the other.
    func later(_ body: @escaping () -> Void) {
        world.schedule(after: random.duration(in: latency), body)
    }

    func later(to side: Side, _ body: @escaping () -> Void) {
        let at = max(
            world.instant + random.duration(in: latency),
            lastArrival[side] ?? world.instant
        )
        lastArrival[side] = at
        world.schedule(at: at, body)
    }
}

final class SimSocket {
    let number: Int32
    let local: Endpoint
    let peer: Endpoint
    private let link: SimLink
    private let side: SimLink.Side
    private unowned let network: SimNetwork
    var home: SimHome?
    var other: SimSocket?

    private var unread: [UInt8] = []
    private var unreadStart = 0
    /// Bytes that may still be sent before the other end reads.
    private var room: Int
    private var isConnected = false
    private var hasFinished = false
    private var peerFinished = false
    private var isClosed = false
    private var error: Int32 = 0

    init(
        number: Int32,
        local: Endpoint,
        peer: Endpoint,
        link: SimLink,
        side: SimLink.Side,
        network: SimNetwork
    ) {
        self.number = number
        self.local = local
        self.peer = peer
        self.link = link
        self.side = side
        self.network = network
        room = link.window
        isConnected = side == .far
    }

    private func tell(_ what: Readiness, hangUp: Bool = false) {
        guard let home, !isClosed else { return }
        home.loop.happened(what, to: home.handle, hangUp: hangUp)
    }

    /// The side that called.
    var isNear: Bool { side == .near }

    // MARK: Coming about

    func becomeConnected() {
        guard !isClosed, error == 0 else { return }
        isConnected = true
        tell(.writable)
        if hasInput { tell(.readable, hangUp: peerFinished) }
    }

    /// An accepted socket finds its loop.
    func settle(_ home: SimHome) {
        self.home = home
        tell(.writable)
        if hasInput { tell(.readable, hangUp: peerFinished || error != 0) }
    }

    private var hasInput: Bool { unreadStart < unread.count || peerFinished || error != 0 }

    /// The error that waits to be told, and no longer does.
    func takeError() -> Int32 {
        defer { error = 0 }
        return error
    }

    func fail(_ code: Int32) {
        guard !isClosed else { return }
        error = code
        peerFinished = true
        tell([.readable, .writable], hangUp: true)
    }

    // MARK: Reading

    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let available = unread.count - unreadStart
        if available == 0 {
            if error != 0 { return -Int(takeError()) }
            return peerFinished ? 0 : -Int(EAGAIN)
        }
        let n = min(available, buffer.count)
        unread.withUnsafeBytes { bytes in
            buffer.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: bytes[unreadStart..<unreadStart + n])
            )
        }
        unreadStart += n
        if unreadStart == unread.count {
            unread.removeAll(keepingCapacity: true)
            unreadStart = 0
        }
        if let other { link.later { other.regain(n) } }
        return n
    }

    private func regain(_ n: Int) {
        room += n
        tell(.writable)
    }

    private func arrive(_ bytes: ArraySlice<UInt8>) {
        if isClosed {
            // Nobody is there any more (RFC 9293 §3.10.7.1).
            if let other { link.later { other.fail(ECONNRESET) } }
            return
        }
        unread += bytes
        tell(.readable)
    }

    private func arriveEnd() {
        peerFinished = true
        tell(.readable, hangUp: true)
    }

    // MARK: Writing

    func send(_ parts: [UnsafeRawBufferPointer]) -> Int {
        if error != 0 { return -Int(takeError()) }
        if hasFinished || isClosed || !isConnected { return -Int(EPIPE) }
        if room == 0 { return -Int(EAGAIN) }
        var bytes: [UInt8] = []
        for part in parts {
            let n = min(part.count, room - bytes.count)
            bytes += part[..<n]
            if bytes.count == room { break }
        }
        room -= bytes.count
        carry(bytes)
        return bytes.count
    }

    /// Brings bytes to the other end, in pieces, as far as the link carries them.
    private func carry(_ bytes: [UInt8]) {
        guard let other else { return }
        let before = link.carried
        link.carried += bytes.count
        if before >= min(link.vanishesAfter, link.breaksAfter) { return }
        let carried = min(bytes.count, min(link.vanishesAfter, link.breaksAfter) - before)
        // So many events at most, however small the pieces.
        let piece = min(max(link.piece, carried / 200 + 1), carried + 1)
        for start in stride(from: 0, to: carried, by: piece) {
            let part = bytes[start..<min(start + piece, carried)]
            link.later(to: side) { other.arrive(part) }
        }
        if link.carried >= link.breaksAfter {
            network.trouble("breaking", "\(link.text) after \(link.breaksAfter) bytes")
            link.later(to: side) {
                other.fail(ECONNRESET)
                self.fail(ECONNRESET)
            }
        } else if link.carried >= link.vanishesAfter {
            network.trouble("vanishing", "\(link.text) after \(link.vanishesAfter) bytes")
        }
    }

    func finishSending() {
        guard !hasFinished, let other else { return }
        hasFinished = true
        if link.carried >= link.vanishesAfter { return }
        link.later(to: side) { other.arriveEnd() }
    }

    // MARK: Ending

    func close() {
        guard !isClosed else { return }
        if unreadStart < unread.count, let other {
            // Closed with unread bytes: the peer is told that they were lost (RFC 1122 §4.2.2.13).
            hasFinished = true
            link.later(to: side) { other.fail(ECONNRESET) }
        } else {
            finishSending()
        }
        end()
    }

    /// The power is gone: nobody is told.
    func vanish() { end() }

    private func end() {
        isClosed = true
        home = nil
        unread = []
        unreadStart = 0
        network.forget(self)
        // The two hold each other for as long as one of them may still send.
        if let gone = other, gone.isClosed {
            gone.other = nil
            other = nil
        }
    }
}
