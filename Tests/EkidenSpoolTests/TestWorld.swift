import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Synchronization

@testable import EkidenSpool

/// A world, a disk and a spool on it; and what the test believes.
final class TestWorld: Sendable {
    let world: SimWorld
    let disk: SimDisk
    let events = Ears()
    let settings: SpoolSettings

    init(
        seed: UInt64 = 1,
        loops: Int = 1,
        on survivor: TestWorld? = nil,
        image: SimDiskImage? = nil,
        wall: WallTime = SimWorld.firstWallTime,
        _ change: (inout SpoolSettings) -> Void = { _ in }
    ) {
        world = SimWorld(seed: seed, loopCount: loops, wall: wall)
        disk = SimDisk(world: world, image: image ?? survivor?.disk.image ?? SimDiskImage())
        var settings = TestWorld.small
        change(&settings)
        self.settings = settings
    }

    static var small: SpoolSettings {
        var settings = SpoolSettings()
        settings.segmentBytes = 65_536
        settings.freeBytesMin = 0
        return settings
    }

    func open(hooks: SpoolHooks = SpoolHooks()) async throws -> Spool {
        try await openWithReport(hooks: hooks).spool
    }

    func openWithReport(
        hooks: SpoolHooks = SpoolHooks()
    ) async throws -> (spool: Spool, report: RecoveryReport) {
        let opened = try await Spool.open(
            disk: disk,
            owner: world.loops[0],
            settings: settings,
            events: events,
            hooks: hooks
        )
        return (opened.spool, opened.report)
    }
}

final class Ears: EventSink {
    private let heard = Mutex<[Event]>([])
    func emit(_ event: Event, at: WallTime) { heard.withLock { $0.append(event) } }
    var notices: [String] {
        heard.withLock { events in
            events.compactMap { if case .notice(let n) = $0 { n.text } else { nil } }
        }
    }
}

func address(_ text: String) -> Address {
    Address(text) ?? Address(localPart: "x", domain: Domain("y"))
}

func message(
    _ id: QueueID,
    to recipients: [String] = ["b@example.net"],
    from sender: String? = "a@example.org",
    body: [UInt8] = Array("Hello\r\n".utf8),
    at: WallTime = SimWorld.firstWallTime
) -> NewMessage {
    var facts = MessageFacts()
    facts.lines = 3
    facts.longestLineBytes = 12
    let client = ClientFacts(endpoint: Endpoint(.v4(0x7f00_0001), 4321), helo: "client.example")
    return NewMessage(
        id: id,
        envelope: Envelope(
            sender: sender.map { .address(address($0)) } ?? .null,
            recipients: recipients.map { address($0) },
            client: client,
            arrived: at
        ),
        content: Content(
            header: Bytes("Subject: \(id.text)\r\n\r\n"),
            body: .memory(Bytes(body)),
            facts: facts
        )
    )
}

extension NewMessage {
    /// The same with the body that came in.
    func with(_ intake: BodyIntake) async throws(SpoolRefusal) -> NewMessage {
        var new = self
        new.content = Content(
            header: content.header,
            body: try await intake.finish(),
            facts: content.facts
        )
        return new
    }
}

extension Spool {
    /// Takes a body in pieces, as from a network, and accepts the message with it.
    func accept(
        _ new: NewMessage,
        arriving body: [UInt8],
        pieceBytes: Int = 7777
    ) async throws(SpoolRefusal) {
        let intake = makeBody(for: new.id)
        for start in stride(from: 0, to: body.count, by: pieceBytes) {
            try await intake.append(Bytes(body[start..<min(start + pieceBytes, body.count)]))
        }
        try await accept(new.with(intake))
    }
}

func mark(
    _ recipient: Int = 0,
    _ state: RecipientState,
    attempts: Int = 1,
    words: String = "250 2.0.0 ok"
) -> RecipientMark {
    RecipientMark(
        recipient: recipient,
        state: state,
        attempts: attempts,
        at: SimWorld.firstWallTime,
        nextAttempt: state == .pending ? SimWorld.firstWallTime + .seconds(300) : nil,
        reason: state == .pending ? .peerDeferred : .delivered,
        host: "mx.example[192.0.2.1]:25",
        words: words
    )
}

func bodyBytes(_ content: Content) async throws -> [UInt8] {
    switch content.body {
    case .memory(let bytes): return bytes.array
    case .stored(let reader, let byteCount):
        var all: [UInt8] = []
        while all.count < byteCount {
            all += try await reader.read(at: all.count, count: 100_000).array
        }
        return all
    }
}

func randomBytes(_ count: Int, _ random: SimRandom) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count + 8)
    bytes.withUnsafeMutableBytes { bytes in
        for at in stride(from: 0, to: count, by: 8) {
            bytes.storeBytes(of: random.next(), toByteOffset: at, as: UInt64.self)
        }
    }
    return Array(bytes[..<count])
}

/// A value shared with closures of a world.
final class Shared<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>
    init(_ value: Value) { mutex = Mutex(value) }
    var value: Value { mutex.withLock { $0 } }
    func change(_ body: @Sendable (inout Value) -> Void) {
        mutex.withLock { value in
            var copy = value
            body(&copy)
            value = copy
        }
    }
}
