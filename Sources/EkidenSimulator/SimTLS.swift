// TLS of the simulated world: labelled plain text. Both sides say hello, then every piece of text is
// a record with a label, so that a byte that was not sent through the session is found out at once.
// The facts are as a real session's; nothing is kept secret from anybody.

import EkidenMail
import EkidenRuntime

/// A record: its label, two bytes of length, and so many bytes.
private enum SimLabel: UInt8 {
    case hello = 0x48
    case text = 0x54
    case end = 0x45
}

final class SimTLSEngine: TLSEngine {
    private enum State { case new, waiting, done }

    private let isServer: Bool
    /// What the client asks for.
    private var serverName: String?
    private var state = State.new
    private var input: [UInt8] = []
    private var output = BytesBuilder(capacity: 0)
    /// Text of records that have come, not read yet.
    private var text: [UInt8] = []
    private var isEnded = false

    static let recordBytesMax = 16_384

    /// The client's side.
    init(askingFor name: String) {
        isServer = false
        serverName = name
    }

    /// The server's side.
    init() { isServer = true }

    func take(_ bytes: UnsafeRawBufferPointer) { input += bytes }

    func shakeHands() throws(TLSFailure) -> Bool {
        if state == .new, !isServer {
            append(.hello, Array((serverName ?? "").utf8))
            state = .waiting
        }
        guard state != .done else { return true }
        guard let record = try next() else { return false }
        guard record.label == .hello else { throw TLSFailure("no hello") }
        if isServer {
            serverName = record.bytes.isEmpty ? nil : String(decoding: record.bytes, as: UTF8.self)
            append(.hello, [])
        }
        state = .done
        return true
    }

    /// The next whole record, taken off the input.
    private func next() throws(TLSFailure) -> (label: SimLabel, bytes: ArraySlice<UInt8>)? {
        guard let first = input.first else { return nil }
        guard let label = SimLabel(rawValue: first) else {
            throw TLSFailure("not a record: it begins with \(first)")
        }
        guard input.count >= 3 else { return nil }
        let count = Int(input[1]) << 8 | Int(input[2])
        guard count <= Self.recordBytesMax else { throw TLSFailure("a record too large") }
        guard input.count >= 3 + count else { return nil }
        let bytes = input[3..<3 + count]
        input.removeFirst(3 + count)
        return (label, bytes)
    }

    func read(into room: UnsafeMutableRawBufferPointer) throws(TLSFailure) -> TLSRead {
        while text.isEmpty, !isEnded {
            guard let record = try next() else { return .starved }
            switch record.label {
            case .hello: throw TLSFailure("a second hello")
            case .text: text += record.bytes
            case .end: isEnded = true
            }
        }
        if text.isEmpty { return .closed }
        let count = min(text.count, room.count)
        room.copyBytes(from: text[..<count])
        text.removeFirst(count)
        return .bytes(count)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(TLSFailure) {
        guard state == .done else { throw TLSFailure("text before the handshake") }
        for start in stride(from: 0, to: bytes.count, by: Self.recordBytesMax) {
            let end = min(start + Self.recordBytesMax, bytes.count)
            append(.text, Array(bytes[start..<end]))
        }
    }

    func close() { append(.end, []) }

    private func append(_ label: SimLabel, _ bytes: [UInt8]) {
        let count = bytes.count
        output.append(byte: label.rawValue)
        output.append(byte: UInt8(count >> 8))
        output.append(byte: UInt8(count & 255))
        output.append(contentsOf: bytes)
    }

    func drain() -> Bytes {
        var drained = BytesBuilder(capacity: 0)
        swap(&drained, &output)
        return drained.finish()
    }

    var hasPending: Bool { !text.isEmpty || !input.isEmpty }

    var facts: TLSFacts {
        TLSFacts(version: "SIMv1", cipher: "LABELLED_PLAIN_TEXT", serverName: serverName)
    }
}

private final class SimTLSAcceptor: TLSAcceptor {
    func makeEngine() -> any TLSEngine { SimTLSEngine() }
    func refresh() -> Result<String, TLSFailure>? { nil }
    var standings: [TLSStanding] { [] }
    func renewKeys() {}
}

private final class SimTLSConnector: TLSConnector {
    func makeEngine(to name: String, expecting names: [String], at now: WallTime) -> any TLSEngine {
        SimTLSEngine(askingFor: name)
    }
    func refresh() -> Result<String, TLSFailure>? { nil }
    var standings: [TLSStanding] { [] }
    func renewKeys() {}
}

/// Any certificate will do.
struct SimTLS: TLSProvider {
    func connector(_ settings: TLSClientSettings) throws(TLSFailure) -> any TLSConnector {
        SimTLSConnector()
    }

    func acceptor(_ settings: TLSServerSettings) throws(TLSFailure) -> any TLSAcceptor {
        if settings.identities.isEmpty { throw TLSFailure("no certificate is configured") }
        return SimTLSAcceptor()
    }
}
