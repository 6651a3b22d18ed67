// A mail host outside the relay: takes what it is given, or not, as its temper says. At every step
// of the protocol it may answer with any code, say nothing, or drop the connection; after the final
// dot it may have taken the message and lose its reply. It writes into the ledger what it took.

import EkidenMail
import EkidenRuntime

package struct HostTemper: Sendable {
    /// Once in so many steps something goes wrong; 0: never.
    package var trouble: UInt64 = 0
    /// How long an answer takes.
    package var pace: ClosedRange<Duration> = .zero ... .milliseconds(5)
    /// First attempts for a recipient are put off until so much later.
    package var greylisting: Duration?
    package var hasPipelining = true
    package var hasSize = true
    package var hasEightBit = true
    /// Answers in crumbs, a byte at a time.
    package var dribbles = false
    /// Its troubles include 5xx answers to anything.
    package var saysFinal = false
    /// Now and then it knows no postmaster.
    package var refusesPostmaster = false
    /// Offers STARTTLS; once in so many handshakes it breaks off, 0: never.
    package var hasTLS = false
    package var breaksTLS: UInt64 = 0
    /// Knows the extension (RFC 3461, RFC 6531).
    package var hasDSN = false
    package var hasUTF8 = false
    /// So many recipients in a transaction, and says so (RFC 9422); nil: it does not say.
    package var recipientsMax: Int?
    /// What is at its IPv6 address.
    package enum OtherFamily: CaseIterable { case none, refuses, silent }
    package var otherFamily = OtherFamily.none
    package init() {}
}

/// `@unchecked Sendable`: used on the world's one thread alone.
final class MailHost: @unchecked Sendable {
    enum Step { case greeting, hello, mail, recipient, data, dot }

    let name: String
    let endpoint: Endpoint
    private unowned let town: Town
    private let random: SimRandom
    var temper = HostTemper()
    /// What a smarthost asks of who comes in; nil: it is none.
    var door: SmartDoor?
    private var listener: Handle?
    private var firstSeen: [String: Instant] = [:]

    private static let patience = Duration.seconds(600)

    init(_ name: String, _ endpoint: Endpoint, town: Town, random: SimRandom? = nil) {
        self.name = name
        self.endpoint = endpoint
        self.town = town
        self.random = random ?? town.random.branch()
    }

    private var loop: Loop { town.outside }
    var isUp: Bool { listener != nil }

    // MARK: Listening

    func start() {
        guard listener == nil else { return }
        loop.spawn { await self.listen() }
    }

    func stop() { loop.call { if let listener = self.listener { self.loop.cancel(listener) } } }

    private func listen() async {
        guard listener == nil else { return }
        let handle = loop.makeHandle()
        guard loop.backend.listen(handle, on: endpoint, backlog: 100) >= 0 else {
            return loop.releaseHandle(handle)
        }
        listener = handle
        while await loop.wait(handle, for: .readable) == .ready {
            switch loop.backend.accept(handle) {
            case .success(let socket): loop.spawn { await self.serve(socket) }
            case .failure: loop.clear(.readable, of: handle)
            }
        }
        loop.backend.close(handle)
        loop.releaseHandle(handle)
        listener = nil
    }

    private func serve(_ socket: AcceptedSocket) async {
        let boot = town.machine.boot
        town.checkConnections(self)
        var session = HostSession(
            wire: Wire(Connection(adopting: socket, on: loop)),
            host: self,
            boot: boot
        )
        try? await session.run()
        _ = consume session
    }

    // MARK: What the session asks of its host

    var shared: Town { town }

    func pause() async {
        let pause = random.duration(in: temper.pace)
        if pause > .zero { await loop.sleep(for: pause) }
    }

    /// What goes wrong at this step, if anything.
    func trouble(at step: Step) -> Trouble? {
        guard temper.trouble > 0, random.once(in: temper.trouble) else { return nil }
        let trouble: Trouble
        switch temper.saysFinal ? random.below(10) : random.pick([0, 1, 2, 5, 6, 7, 8]) {
        case 0: trouble = .drop
        case 1: trouble = .silence
        case 2: trouble = .says("421 4.3.2 closing", closes: true)
        case 3: trouble = .says("554 5.7.1 not now and not later", closes: false)
        case 4: trouble = .says("550-5.7.0 no\r\n550 5.7.0 not at all", closes: false)
        case 5: trouble = .says("garbage", closes: true)
        case 6: trouble = step == .dot ? .losesReply : .drop
        case 7: trouble = .says("452 4.2.2 full for the moment", closes: false)
        default: trouble = .says("451 4.3.0 try again later", closes: false)
        }
        town.count("host-" + trouble.word)
        return trouble
    }

    /// What goes wrong with this handshake, if anything.
    func handshakeTrouble() -> Trouble? {
        guard temper.breaksTLS > 0, random.once(in: temper.breaksTLS) else { return nil }
        town.count("host-breaks-tls")
        return random.once(in: 2) ? .drop : .says("no hello", closes: true)
    }

    enum Trouble {
        case drop
        case silence
        case says(String, closes: Bool)
        /// It took the message; nobody will hear of it.
        case losesReply

        var word: String {
            switch self {
            case .drop: "drop"
            case .silence: "silence"
            case .says(let text, _): "says-" + text.prefix(1)
            case .losesReply: "loses-reply"
            }
        }
    }

    /// The answer to a recipient, by the class that its address names.
    func answer(to recipient: String) -> String {
        if recipient.hasPrefix("bad") { return "550 5.1.1 no such mailbox" }
        if temper.refusesPostmaster, recipient.hasPrefix("postmaster"), random.once(in: 2) {
            return "550 5.1.1 no postmaster here"
        }
        if recipient.hasPrefix("full"), random.once(in: 2) { return "452 4.2.2 mailbox full" }
        if let greylisting = temper.greylisting {
            let seen = firstSeen[recipient] ?? loop.now()
            firstSeen[recipient] = seen
            if loop.now() - seen < greylisting { return "450 4.7.1 greylisted" }
        }
        return "250 2.1.5 ok"
    }
}

/// One connection to a host.
struct HostSession: ~Copyable {
    var wire: Wire
    let host: MailHost
    let boot: Int
    private var sender: String?
    private var recipients: [String] = []
    private var last: HostTransaction?
    private(set) var isSecure = false
    var isLoggedIn = false
    /// RCPT commands in this transaction.
    private var recipientsAsked = 0
    /// EHLO was said, and answered.
    private var isExtended = false
    private var heard = HeardParameters()
    private var helo = ""

    private static let patience = Duration.seconds(900)

    init(wire: consuming Wire, host: MailHost, boot: Int) {
        self.wire = wire
        self.host = host
        self.boot = boot
    }

    private struct Closed: Error {}

    mutating func run() async throws {
        try await answer(.greeting, "220 \(host.name) ESMTP")
        while true {
            let line = try await wire.line(within: Self.patience)
            host.shared.trace.note("\(host.name) hears \(wire.connection.peer.port) \(line)")
            last?.settledAt = last?.settledAt ?? host.shared.world.instant
            let verb = line.prefix(4).uppercased()
            switch verb {
            case "EHLO":
                helo = String(line.dropFirst(5))
                isExtended = try await answer(.hello, capabilities)
            case "HELO":
                helo = String(line.dropFirst(5))
                isExtended = false
                try await answer(.hello, "250 \(host.name)")
            case "STAR": try await startTLS()
            case "AUTH": try await logIn(line)
            case "MAIL": try await mail(line)
            case "RCPT": try await recipient(line)
            case "DATA": try await data()
            case "RSET":
                reset()
                try await say("250 2.0.0 ok")
            case "QUIT":
                try await say("221 2.0.0 bye")
                return
            default: try await say("500 5.5.2 what?")
            }
        }
    }

    private var capabilities: String {
        var lines = [host.name]
        if host.temper.hasPipelining { lines.append("PIPELINING") }
        if host.temper.hasSize { lines.append("SIZE 100000000") }
        // RFC 6531 §3.1: with SMTPUTF8 goes 8BITMIME.
        if host.temper.hasEightBit || host.temper.hasUTF8 { lines.append("8BITMIME") }
        if host.temper.hasUTF8 { lines.append("SMTPUTF8") }
        if host.temper.hasDSN { lines.append("DSN") }
        if offersTLS { lines.append("STARTTLS") }
        if let door = host.door, isSecure || door.trouble == .stripped {
            lines.append("AUTH " + door.mechanisms)
        }
        if let most = host.temper.recipientsMax { lines.append("LIMITS RCPTMAX=\(most)") }
        lines.append("ENHANCEDSTATUSCODES")
        return lines.enumerated().map { index, line in
            (index == lines.count - 1 ? "250 " : "250-") + line
        }.joined(separator: "\r\n")
    }

    private var offersTLS: Bool {
        host.temper.hasTLS && !isSecure && host.door?.trouble != .stripped
    }

    private mutating func startTLS() async throws {
        guard offersTLS else { return try await say("503 5.5.1 not here") }
        guard try await answer(.hello, "220 2.0.0 go on") else { return }
        switch host.handshakeTrouble() {
        case nil: break
        case .says(let text, _):
            try await wire.say(text, within: Self.patience)
            throw Closed()
        case .drop, .silence, .losesReply: throw Closed()
        }
        wire.connection.setDeadline(wire.connection.loop.now() + Self.patience)
        _ = try await wire.connection.secure(with: SimTLSEngine())
        isSecure = true
        host.shared.count("host-secured")
        reset()
    }

    private mutating func reset() {
        sender = nil
        recipientsAsked = 0
        recipients = []
        heard = HeardParameters()
    }

    mutating func nextLine() async throws(IOFailure) -> String {
        try await wire.line(within: Self.patience)
    }

    mutating func say(_ text: String) async throws(IOFailure) {
        await host.pause()
        if host.temper.dribbles {
            for byte in (text + "\r\n").utf8 {
                try await wire.send([byte], within: Self.patience)
                await host.shared.outside.sleep(for: .milliseconds(20))
            }
        } else {
            try await wire.say(text, within: Self.patience)
        }
    }

    /// Says `text`, or what goes wrong instead; false when a refusal was said.
    @discardableResult
    private mutating func answer(_ step: MailHost.Step, _ text: String) async throws -> Bool {
        guard let trouble = host.trouble(at: step) else {
            try await say(text)
            return true
        }
        switch trouble {
        case .drop, .losesReply: throw Closed()
        case .silence:
            await host.shared.outside.sleep(for: .seconds(1200))
            throw Closed()
        case .says(let words, let closes):
            if words.hasPrefix("5") { noteRefusal(at: step) }
            try await say(words)
            if closes { throw Closed() }
            return false
        }
    }

    /// A 5xx that the relay may take as the last word for what is under way. Before recipients
    /// are named it may speak of any.
    private func noteRefusal(at step: MailHost.Step) {
        switch step {
        case .greeting, .hello, .mail: host.shared.ledger.rudeHosts.insert(host.name)
        case .recipient, .data, .dot:
            for recipient in recipients { host.shared.ledger.refusals.insert(recipient) }
        }
    }

    private mutating func mail(_ line: String) async throws {
        reset()
        if let refusal = smarthostRefusal() { return try await say(refusal) }
        let path = Self.path(line)
        heard.mail = HeardParameters.words(line)
        if try await answer(.mail, "250 2.1.0 ok") { sender = path }
    }

    private static func path(_ line: String) -> String {
        guard let open = line.firstIndex(of: "<"), let close = line.firstIndex(of: ">") else {
            return ""
        }
        return String(line[line.index(after: open)..<close])
    }

    private mutating func recipient(_ line: String) async throws {
        guard sender != nil else { return try await say("503 5.5.1 MAIL first") }
        let path = Self.path(line)
        recipientsAsked += 1
        if let most = host.temper.recipientsMax, isExtended {
            host.shared.count("limits")
            if recipientsAsked > most {
                host.shared.ledger.violation(
                    "\(host.name) said that it takes \(most) recipients, and was asked for one more"
                )
            }
        }
        if let refusal = smarthostRefusal(recipient: path) { return try await say(refusal) }
        let answer = host.answer(to: path)
        if answer.hasPrefix("5") {
            host.shared.ledger.refusals.insert(path)
            if path == host.shared.plan.postmaster {
                host.shared.ledger.postmasterRefusedAt = host.shared.world.instant
            }
        }
        if !answer.hasPrefix("2") { return try await say(answer) }
        // Noted before, so that a refusal drawn here counts for it.
        recipients.append(path)
        heard.recipients[path] = HeardParameters.words(line)
        if try await !self.answer(.recipient, answer) { recipients.removeLast() }
    }

    private mutating func data() async throws {
        guard let sender, !recipients.isEmpty else {
            return try await say("503 5.5.1 no valid recipients")
        }
        guard try await answer(.data, "354 go ahead") else { return reset() }
        let message = try await wire.message(within: Self.patience)
        let trouble = host.trouble(at: .dot)
        switch trouble {
        case .drop: throw Closed()
        case .silence:
            await host.shared.outside.sleep(for: .seconds(1200))
            throw Closed()
        case .says(let words, let closes):
            if words.hasPrefix("5") { noteRefusal(at: .dot) }
            try await say(words)
            if closes { throw Closed() }
        case .losesReply:
            take(message, sender)
            throw Closed()
        case nil:
            let taken = take(message, sender)
            try await say("250 2.0.0 taken")
            last = taken
        }
        reset()
    }

    @discardableResult
    private mutating func take(_ message: [UInt8], _ sender: String) -> HostTransaction {
        heard.offersDSN = host.temper.hasDSN && isExtended
        heard.offersUTF8 = host.temper.hasUTF8 && isExtended
        heard.offersEightBit = (host.temper.hasEightBit || host.temper.hasUTF8) && isExtended
        let transaction = HostTransaction(
            host: host.name,
            takenAt: host.shared.world.instant,
            boot: boot,
            isSecure: isSecure,
            toldDSN: heard.offersDSN,
            helo: helo
        )
        host.shared.arrived(message, from: sender, to: recipients, transaction, heard)
        return transaction
    }
}
