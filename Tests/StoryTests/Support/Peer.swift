// A mail host for the relay to deliver to, within the test: it says yes to everything, records what
// it got bit for bit, and misbehaves wherever the story's script says so.

import Foundation
import Synchronization

enum PeerStep: String, Sendable {
    case connect, ehlo, helo, mail, rcpt, data, dot, rset, quit, other
}

/// What the script is asked about.
struct PeerCommand: Sendable {
    let step: PeerStep
    /// The command line without its CRLF; empty at `connect` and `dot`, where a peer that speaks LMTP is
    /// asked for each recipient, with its address.
    let line: String
    /// Number of the connection at this peer, from 1.
    let session: Int
    /// How often this step was reached at this peer, from 1.
    let count: Int
    /// Recipients accepted in this transaction so far.
    let recipients: Int
}

enum PeerAnswer: Sendable {
    /// A reply, its CRLF added.
    case say(String)
    /// A reply; then the connection is closed.
    case sayAndHangUp(String)
    case hangUp
    /// No reply to this nor to anything after it; the connection stays open.
    case silence
    /// A reply; then nothing more is read, and the connection stays open.
    case sayAndStopReading(String)
    case raw([UInt8])
    /// The bytes again and again until the relay has had enough.
    case flood([UInt8])
    /// Waits before it goes on with the usual answer.
    case wait(seconds: Double)
}

/// nil: the usual answer.
typealias PeerScript = @Sendable (PeerCommand) -> PeerAnswer?

/// A message that came to its final dot.
struct PeerMail: Sendable {
    let session: Int
    let helo: String
    /// Within the angle brackets.
    let sender: String
    /// Behind them, of MAIL.
    let parameters: String
    /// Those that were accepted.
    let recipients: [String]
    /// All after the reply to DATA, up to the final dot's line.
    let wire: [UInt8]
    /// The final dot was answered 2xx.
    let isAccepted: Bool

    var content: [UInt8] { unstuffed(wire) }
    var text: String { String(decoding: content, as: UTF8.self) }

    /// The content without the Received field that the relay put in front.
    var withoutReceived: [UInt8] {
        let content = content
        guard content.starts(with: Array("Received: ".utf8)) else { return content }
        var at = 0
        while let newline = content[at...].firstIndex(of: 10) {
            at = newline + 1
            if at >= content.count || content[at] != 32 && content[at] != 9 { break }
        }
        return Array(content[at...])
    }
}

final class Peer: Sendable {
    let place: Place
    private let listener: Socket
    private let script: PeerScript
    private let extensions: [String]
    /// LHLO, and a reply for each recipient after the final dot (RFC 2033).
    fileprivate let speaksLMTP: Bool
    private let state = Mutex(State())

    private struct State {
        var isClosed = false
        var open: [Int: Socket] = [:]
        var sessions = 0
        var counts: [String: Int] = [:]
        var mail: [PeerMail] = []
        var lines: [String] = []
        var refusedBytes = 0
    }

    static let usualExtensions = [
        "PIPELINING", "SIZE 100000000", "8BITMIME", "ENHANCEDSTATUSCODES",
    ]

    init(
        at place: Place,
        extensions: [String] = Peer.usualExtensions,
        speaksLMTP: Bool = false,
        _ script: @escaping PeerScript
    ) throws {
        self.speaksLMTP = speaksLMTP
        listener = try Socket.listen(on: place)
        self.place = Place(place.address, listener.localPort)
        self.extensions = extensions
        self.script = script
        let thread = Thread { self.acceptAll() }
        thread.stackSize = 1 << 20
        thread.start()
    }

    func close() {
        let open = state.withLock { state in
            state.isClosed = true
            return state.open
        }
        for socket in open.values { socket.shutDown(Int32(SHUT_RDWR)) }
    }

    // MARK: What happened

    var sessions: Int { state.withLock { $0.sessions } }
    /// In the order of their final dots.
    var received: [PeerMail] { state.withLock { $0.mail } }
    var accepted: [PeerMail] { received.filter(\.isAccepted) }
    /// Command lines as they came.
    var lines: [String] { state.withLock { $0.lines } }

    /// Waits until so many messages were accepted; exactly so many.
    @discardableResult
    func mail(_ count: Int = 1, within seconds: Double = 20) throws -> [PeerMail] {
        let mail = try eventually(
            "\(count) messages at \(place), not \(accepted.count)",
            within: seconds
        ) {
            accepted.count >= count ? accepted : nil
        }
        if mail.count > count {
            throw StoryFailure("\(mail.count) messages at \(place), not \(count)")
        }
        return mail
    }

    // MARK: Sessions

    private func acceptAll() {
        while !state.withLock({ $0.isClosed }) {
            guard listener.isReadable(within: 0.1), let socket = listener.accept() else { continue }
            let number = state.withLock { state in
                state.sessions += 1
                state.open[state.sessions] = socket
                return state.sessions
            }
            let thread = Thread {
                PeerSession(self, socket, number).run()
                _ = self.state.withLock { $0.open.removeValue(forKey: number) }
            }
            thread.stackSize = 1 << 20
            thread.start()
        }
    }

    fileprivate func answer(
        _ step: PeerStep,
        _ line: String,
        _ session: Int,
        _ recipients: Int
    )
        -> PeerAnswer?
    {
        let count = state.withLock { state in
            if !line.isEmpty { state.lines.append(line) }
            state.counts[step.rawValue, default: 0] += 1
            return state.counts[step.rawValue, default: 0]
        }
        return script(
            PeerCommand(
                step: step,
                line: line,
                session: session,
                count: count,
                recipients: recipients
            )
        )
    }

    fileprivate var isClosed: Bool { state.withLock { $0.isClosed } }

    fileprivate func take(_ mail: PeerMail) { state.withLock { $0.mail.append(mail) } }

    fileprivate var hello: String {
        let lines = ["peer.test"] + extensions
        return lines.enumerated().map { index, line in
            "250\(index == lines.count - 1 ? " " : "-")\(line)"
        }.joined(separator: "\r\n")
    }
}

/// One connection to a peer.
private final class PeerSession {
    private let peer: Peer
    private let socket: Socket
    private let number: Int
    private var unread: [UInt8] = []
    private var helo = ""
    private var sender = ""
    private var parameters = ""
    private var hasSender = false
    private var recipients: [String] = []

    init(_ peer: Peer, _ socket: Socket, _ number: Int) {
        self.peer = peer
        self.socket = socket
        self.number = number
    }

    func run() {
        guard answer(.connect, "", usually: "220 peer.test ESMTP") != nil else { return end() }
        while let line = line() {
            guard command(line) else { break }
        }
        end()
    }

    private func end() { socket.shutDown(Int32(SHUT_RDWR)) }

    private func line() -> String? {
        while true {
            if let newline = unread.firstIndex(of: 10) {
                let line = unread[..<newline].filter { $0 != 13 }
                unread.removeSubrange(...newline)
                return String(decoding: line, as: UTF8.self)
            }
            guard let bytes = socket.receive(), !bytes.isEmpty else { return nil }
            unread += bytes
        }
    }

    /// False when the session is over.
    private func command(_ line: String) -> Bool {
        let path = line.firstIndex(of: "<").flatMap { open in
            line.lastIndex(of: ">").map { String(line[line.index(after: open)..<$0]) }
        }
        switch line.prefix(4).uppercased() {
        case "EHLO" where !peer.speaksLMTP, "LHLO" where peer.speaksLMTP:
            helo = String(line.dropFirst(5))
            return answer(.ehlo, line, usually: peer.hello) != nil
        case "HELO" where !peer.speaksLMTP:
            helo = String(line.dropFirst(5))
            return answer(.helo, line, usually: "250 peer.test") != nil
        case "MAIL":
            sender = path ?? ""
            parameters =
                line.lastIndex(of: ">").map { String(line[line.index(after: $0)...]) } ?? ""
            recipients = []
            guard let code = answer(.mail, line, usually: "250 2.1.0 ok") else { return false }
            hasSender = code == 2
            return true
        case "RCPT":
            if !hasSender { return say("503 5.5.1 no sender") != nil }
            guard let code = answer(.rcpt, line, usually: "250 2.1.5 ok") else { return false }
            if code == 2 { recipients.append(path ?? "") }
            return true
        case "DATA":
            if recipients.isEmpty {
                return answer(.data, line, usually: "503 5.5.1 no recipients") != nil
            }
            guard let code = answer(.data, line, usually: "354 go ahead") else { return false }
            return code == 3 ? message() : true
        case "RSET":
            (hasSender, recipients) = (false, [])
            return answer(.rset, line, usually: "250 2.0.0 ok") != nil
        case "QUIT":
            _ = answer(.quit, line, usually: "221 2.0.0 bye")
            return false
        default:
            return answer(.other, line, usually: "500 5.5.1 what?") != nil
        }
    }

    private func message() -> Bool {
        // The CRLF of the DATA line counts: a message may be empty.
        let end = Array("\r\n.\r\n".utf8)
        var wire = Array("\r\n".utf8)
        while true {
            let from = max(0, wire.count - end.count)
            wire += unread
            unread = []
            if let found = offset(of: end, in: wire, from: from) {
                unread = Array(wire[(found + end.count)...])
                wire = Array(wire[2..<found + 2])
                break
            }
            guard let bytes = socket.receive(), !bytes.isEmpty else { return false }
            unread = bytes
        }
        return peer.speaksLMTP ? finishForEach(wire) : finish(wire)
    }

    private func finishForEach(_ wire: [UInt8]) -> Bool {
        let answers = recipients.map { peer.answer(.dot, $0, number, recipients.count) }
        let taken = zip(recipients, answers).filter { _, answer in
            switch answer {
            case nil: true
            case .say(let text): text.hasPrefix("2")
            default: false
            }
        }
        take(wire, taken.map(\.0), isAccepted: !taken.isEmpty)
        return answers.allSatisfy { perform($0, usually: "250 2.0.0 taken") != nil }
    }

    private func finish(_ wire: [UInt8]) -> Bool {
        var scripted = peer.answer(.dot, "", number, recipients.count)
        if case .wait(let seconds) = scripted {
            usleep(UInt32(seconds * 1_000_000))
            scripted = nil
        }
        let isAccepted: Bool =
            switch scripted {
            case nil: true
            case .say(let text), .sayAndHangUp(let text): text.hasPrefix("2")
            case .raw(let bytes): bytes.first == UInt8(ascii: "2")
            default: false
            }
        take(wire, recipients, isAccepted: isAccepted)
        return perform(scripted, usually: "250 2.0.0 taken") != nil
    }

    /// Recorded before the relay hears of it, so that who saw it in the log finds it here.
    private func take(_ wire: [UInt8], _ recipients: [String], isAccepted: Bool) {
        peer.take(
            PeerMail(
                session: number,
                helo: helo,
                sender: sender,
                parameters: parameters,
                recipients: recipients,
                wire: wire,
                isAccepted: isAccepted
            )
        )
        (hasSender, self.recipients) = (false, [])
    }

    private func offset(of needle: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
        guard bytes.count >= needle.count else { return nil }
        return bytes.withUnsafeBytes { hay in
            guard let base = hay.baseAddress else { return nil }
            for at in start..<max(start, hay.count - needle.count + 1)
            where hay[at] == needle[0] && memcmp(base + at, needle, needle.count) == 0 {
                return at
            }
            return nil
        }
    }

    /// The first digit of the reply that was given (0 when none was); nil when the session is over.
    private func answer(_ step: PeerStep, _ line: String, usually usual: String) -> Int? {
        perform(peer.answer(step, line, number, recipients.count), usually: usual)
    }

    private func perform(_ scripted: PeerAnswer?, usually usual: String) -> Int? {
        switch scripted {
        case nil: return say(usual)
        case .say(let text): return say(text)
        case .sayAndHangUp(let text):
            _ = say(text)
            return nil
        case .sayAndStopReading(let text):
            _ = say(text)
            while !peer.isClosed { usleep(50_000) }
            return nil
        case .hangUp: return nil
        case .silence:
            while let bytes = socket.receive(), !bytes.isEmpty {}
            return nil
        case .raw(let bytes): return socket.send(bytes) ? Int(bytes.first ?? 48) - 48 : nil
        case .flood(let bytes):
            while socket.send(bytes) {}
            return nil
        case .wait(let seconds):
            usleep(UInt32(seconds * 1_000_000))
            return say(usual)
        }
    }

    private func say(_ text: String) -> Int? {
        guard socket.send(Array((text + "\r\n").utf8)) else { return nil }
        return text.first?.wholeNumberValue ?? 0
    }
}
