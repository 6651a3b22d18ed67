// Questions to name servers over UDP, and over TCP when the answer is too long: one fresh socket
// per try, so that port and id are both unpredictable (RFC 5452 §9.2), connected, so that the kernel
// drops what other hosts send and tells us when nobody listens. Nothing here blocks a loop.

import EkidenMail
import EkidenRuntime
import Glibc
import Synchronization

package final class UDPNameTransport: NameTransport {
    /// Sockets open at a time; further questions wait in line.
    package static let socketsMax = 256
    /// Bytes of one UDP answer that are taken; we offer servers 1232.
    private static let datagramBytesMax = 4096
    /// Packets for the wrong question that are passed over in one try.
    private static let strangersMax = 1000

    private let servers: NameServers
    private let random: any RandomSource
    private let permits = Permits(UDPNameTransport.socketsMax)
    private let sockets = Mutex(OpenSockets())

    /// Reads resolv.conf now, if the settings name no servers; later looks at it run on `workers`,
    /// which may be closed after `stop`.
    package init(
        settings: NameServerSettings,
        random: any RandomSource,
        workers: WorkQueue
    ) {
        servers = NameServers(settings, workers: workers)
        self.random = random
    }

    /// For questions asked from now on. Reads resolv.conf before it returns, if that is named.
    package func replace(_ settings: NameServerSettings) { servers.replace(settings) }

    package func ask(
        _ question: NameQuestion,
        on loop: Loop,
        until deadline: Instant
    ) async throws(NameTransportFailure) -> [UInt8] {
        guard QuestionPacket(question, id: 0, withExtension: true) != nil else { throw .unaskable }
        guard await permits.take(on: loop, until: deadline) else { throw .timedOut }
        defer { permits.give() }

        var tour = ServerTour(servers.plan(at: loop.turnTime))
        var lastAnswer: [UInt8]?
        var complaint = "no name server is configured"
        while let stop = tour.next() {
            if stop.pause > .zero {
                await loop.sleep(until: min(loop.now() + stop.pause, deadline))
            }
            let now = loop.now()
            if now >= deadline { throw .timedOut }
            let until = min(now + stop.patience, deadline)
            switch await ask(question, of: stop.server, on: loop, until: until) {
            case .answer(let packet):
                servers.answered(stop.server)
                return packet
            case .failure(let packet):
                lastAnswer = packet
                tour.note(.failed)
            case .silence:
                // Being cut short by our own deadline says nothing about the server.
                if until < deadline { servers.keptSilent(stop.server, at: loop.now()) }
                tour.note(.silent)
            case .unreachable(let why):
                complaint = "name server \(stop.server.text): \(why)"
                tour.note(.unreachable)
            case .cancelled:
                throw .unavailable("the relay is stopping")
            }
        }
        if let lastAnswer { return lastAnswer }
        if tour.wasSilence { throw .timedOut }
        throw .unavailable(complaint)
    }

    /// Ends the waits of all questions under way; new ones end as soon as they wait.
    package func stop() {
        servers.stop()
        let open = sockets.withLock { $0.stop() }
        for socket in open {
            socket.loop.call { socket.loop.cancel(socket.handle) }
        }
    }

    // MARK: One server

    /// What came of asking one server.
    private enum Try {
        case answer([UInt8])
        /// It answered, and that it can't or won't say.
        case failure([UInt8])
        case silence
        case unreachable(String)
        case cancelled
    }

    private enum Datagram {
        case reply([UInt8], QuestionPacket.Verdict)
        case nothing(Try)
    }

    private func ask(
        _ question: NameQuestion,
        of server: Endpoint,
        on loop: Loop,
        until deadline: Instant
    ) async -> Try {
        var withExtension = true
        while true {
            let id = UInt16(truncatingIfNeeded: random.next())
            guard let packet = QuestionPacket(question, id: id, withExtension: withExtension) else {
                return .unreachable("the name can't be asked for")
            }
            switch await askByUDP(packet, server, on: loop, until: deadline) {
            case .nothing(let why): return why
            case .reply(let bytes, .answer): return .answer(bytes)
            case .reply(let bytes, .failure): return .failure(bytes)
            case .reply(_, .withoutExtension): withExtension = false
            case .reply(let bytes, .truncated):
                let whole = await askByTCP(packet, server, on: loop, until: deadline)
                if case .unreachable = whole { return .failure(bytes) }
                return whole
            }
        }
    }

    private func askByUDP(
        _ packet: QuestionPacket,
        _ server: Endpoint,
        on loop: Loop,
        until deadline: Instant
    ) async -> Datagram {
        let handle = loop.makeHandle()
        defer { loop.releaseHandle(handle) }
        if let problem = Self.openDatagramSocket(to: server, as: handle, on: loop) {
            return .nothing(.unreachable(problem.text))
        }
        defer { loop.backend.close(handle) }
        guard let number = sockets.withLock({ $0.open(loop, handle) }) else {
            return .nothing(.cancelled)
        }
        defer { sockets.withLock { $0.close(number) } }
        let sent = packet.bytes.withUnsafeBytes { loop.backend.send(handle, [$0]) }
        if sent < 0 { return .nothing(Self.unreachable(sent)) }
        loop.setDeadline(handle, deadline)

        var buffer = [UInt8](repeating: 0, count: Self.datagramBytesMax)
        var strangers = 0
        while true {
            switch await loop.wait(handle, for: .readable) {
            case .ready: break
            case .timedOut: return .nothing(.silence)
            case .cancelled: return .nothing(.cancelled)
            }
            let n = buffer.withUnsafeMutableBytes { loop.backend.receive(handle, into: $0) }
            if n == -Int(EAGAIN) {
                loop.clear(.readable, of: handle)
                continue
            }
            if n == -Int(EINTR) { continue }
            // ICMP told us: port or host unreachable.
            if n < 0 { return .nothing(Self.unreachable(n)) }
            let verdict = buffer.withUnsafeBytes {
                packet.judge(UnsafeRawBufferPointer(rebasing: $0[..<n]))
            }
            guard let verdict else {
                strangers += 1
                if strangers <= Self.strangersMax { continue }
                return .nothing(.unreachable("sends answers to other questions"))
            }
            // More than we offered to take: what did not fit is lost, TCP has it whole.
            let isCut = verdict == .answer && n == buffer.count
            return .reply(Array(buffer[..<n]), isCut ? .truncated : verdict)
        }
    }

    private static func unreachable(_ result: Int) -> Try {
        .unreachable(SystemError(code: Int32(-result)).text)
    }

    private static func openDatagramSocket(
        to server: Endpoint,
        as handle: Handle,
        on loop: Loop
    ) -> SystemError? {
        guard let backend = loop.backend as? LinuxBackend else {
            preconditionFailure("a transport of the real world on a loop of another")
        }
        let type =
            Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
            | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(server.address.isV4 ? AF_INET : AF_INET6, type, 0)
        if descriptor < 0 { return SystemError(code: errno) }
        if SocketAddressBytes(server).with({ Glibc.connect(descriptor, $0, $1) }) < 0 {
            let problem = SystemError(code: errno)
            Glibc.close(descriptor)
            return problem
        }
        backend.attach(descriptor: descriptor, to: handle)
        return nil
    }

    // MARK: TCP

    /// RFC 1035 §4.2.2, RFC 7766: a message behind two bytes of length. The same packet, for it was
    /// judged an honest answer and only too long.
    private func askByTCP(
        _ packet: QuestionPacket,
        _ server: Endpoint,
        on loop: Loop,
        until deadline: Instant
    ) async -> Try {
        do throws(IOFailure) {
            var connection = try await Connection.connect(to: server, on: loop, until: deadline)
            guard let number = sockets.withLock({ $0.open(loop, connection.handle) }) else {
                return .cancelled
            }
            defer { sockets.withLock { $0.close(number) } }
            connection.setDeadline(deadline)
            let length = packet.bytes.count
            connection.queue(
                Bytes([UInt8(length >> 8), UInt8(truncatingIfNeeded: length)] + packet.bytes)
            )
            try await connection.flush()
            let head = try await Self.read(2, from: &connection)
            let count = Int(head[0]) << 8 | Int(head[1])
            let reply = try await Self.read(count, from: &connection)
            switch reply.withUnsafeBytes({ packet.judge($0) }) {
            case .answer: return .answer(reply)
            case .truncated, .withoutExtension, .failure: return .failure(reply)
            case nil: return .unreachable("answers another question over TCP")
            }
        } catch {
            switch error {
            case .timedOut: return .silence
            case .cancelled: return .cancelled
            default: return .unreachable("over TCP: " + error.text)
            }
        }
    }

    private static func read(
        _ count: Int,
        from connection: inout Connection
    ) async throws(IOFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            if connection.unread.isEmpty {
                guard try await connection.fill() else { throw .lost }
            }
            let part = connection.unread.prefix(count - bytes.count)
            bytes += part
            connection.consume(part.count)
        }
        return bytes
    }
}

/// The sockets that wait for answers now, so that a stop reaches them.
private struct OpenSockets {
    struct Socket: Sendable {
        let number: UInt64
        let loop: Loop
        let handle: Handle
    }

    private var sockets: [Socket] = []
    private var nextNumber: UInt64 = 0
    private var isStopped = false

    /// nil when all is being stopped.
    mutating func open(_ loop: Loop, _ handle: Handle) -> UInt64? {
        if isStopped { return nil }
        nextNumber += 1
        sockets.append(Socket(number: nextNumber, loop: loop, handle: handle))
        return nextNumber
    }

    mutating func close(_ number: UInt64) {
        guard let place = sockets.firstIndex(where: { $0.number == number }) else { return }
        sockets.swapAt(place, sockets.count - 1)
        sockets.removeLast()
    }

    mutating func stop() -> [Socket] {
        isStopped = true
        return sockets
    }
}
