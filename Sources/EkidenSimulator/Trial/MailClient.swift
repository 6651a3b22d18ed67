// A client of the relay, of one of several kinds: polite, pipelining, slow, leaving in the middle,
// or repeating a message whose reply it did not get. It writes into the ledger what it was told.

import EkidenMail
import EkidenRuntime

/// `@unchecked Sendable`: used on the world's one thread alone.
final class MailClient: @unchecked Sendable {
    enum Kind: String, CaseIterable {
        case polite
        case pipelining
        case slow
        /// Drops the connection at some step, once in a while.
        case leaving
        /// Sends again what it got no answer to.
        case repeating
    }

    let number: Int
    let kind: Kind
    let way: ClientWay
    private let letters: [Letter]
    unowned let town: Town
    let random: SimRandom

    static let patience = Duration.seconds(400)

    init(_ number: Int, _ client: TrialClient, town: Town) {
        self.number = number
        kind = client.kind
        way = client.way
        letters = client.letters
        self.town = town
        random = town.random.branch()
    }

    func start() {
        let loop = town.outside
        loop.spawn {
            var left = self.letters
            while !left.isEmpty {
                let pause = self.random.duration(in: .zero...self.town.plan.clientPause)
                await loop.sleep(for: pause)
                let count = min(left.count, self.random.int(in: 1...4))
                var unsent: [Letter] = []
                if let rest = await self.session(Array(left[..<count])) { unsent = rest }
                left = unsent + left[count...]
                // A relay that is down for good must not keep the world busy for ever.
                if self.town.isOver { break }
            }
            self.town.clientEnded()
        }
    }

    /// What is to be sent again.
    private func session(_ letters: [Letter]) async -> [Letter]? {
        var index = 0
        do {
            let connection = try await Connection.connect(
                to: .endpoint(
                    town.plan.endpoint(of: way.entrance),
                    from: TrialClient.source(number)
                ),
                on: town.outside,
                until: town.outside.now() + .seconds(60)
            )
            var wire = Wire(connection)
            try await introduce(&wire)
            while index < letters.count {
                try leaveSometimes()
                try await send(letters[index], &wire)
                index += 1
            }
            try await wire.say("QUIT", within: Self.patience)
            _ = try? await wire.reply(within: .seconds(5))
            return nil
        } catch {
            // Those that repeat do so for what is not acknowledged; others as long as it was not
            // out of their hands.
            if kind != .repeating, index < letters.count, town.isOut(letters[index]) { index += 1 }
            return Array(letters[min(index, letters.count)...])
        }
    }

    private struct Left: Error {}

    private func leaveSometimes() throws {
        if kind == .leaving, !town.isCalm, random.once(in: 8) { throw Left() }
    }

    func expect(_ wire: inout Wire, _ code: Int) async throws {
        let (got, text) = try await wire.reply(within: Self.patience)
        if got != code { throw IOFailure.other("\(got) \(text)") }
    }

    /// Errors: the connection's, or a temporary refusal; both mean that it is to be sent again.
    private func send(_ letter: Letter, _ wire: inout Wire) async throws {
        let recipients =
            kind == .pipelining
            ? try await sayTogether(letter, &wire) : try await sayEnvelope(letter, &wire)
        guard let recipients else { return }
        if kind != .pipelining || !way.usesChunks { try await sendMessage(letter, &wire) }
        town.outOfHands(letter)
        try leaveSometimes()
        let (code, text) = try await wire.reply(within: Self.patience)
        if code == 250 { return town.acknowledged(letter, recipients, text) }
        // Refused, and told so: the letter is the client's again.
        town.backInHands(letter)
        if code / 100 == 4 { throw Left() }
    }

    private func mail(_ letter: Letter) -> String {
        let required = letter.wishes.requiresTLS && way.isSecure ? " REQUIRETLS" : ""
        return "MAIL FROM:<\(letter.sender ?? "")>" + letter.wishes.mailParameters + required
    }

    private static func recipient(_ recipient: String, _ letter: Letter) -> String {
        "RCPT TO:<\(recipient)>" + letter.wishes.parameters(of: recipient)
    }

    /// One command after the other; whom the relay takes it for.
    private func sayEnvelope(_ letter: Letter, _ wire: inout Wire) async throws -> [String]? {
        var taken: [String] = []
        try await wire.say(mail(letter), within: Self.patience)
        try await expect(&wire, 250)
        for recipient in letter.recipients {
            try leaveSometimes()
            try await wire.say(Self.recipient(recipient, letter), within: Self.patience)
            if try await wire.reply(within: Self.patience).0 == 250 { taken.append(recipient) }
        }
        try leaveSometimes()
        if way.usesChunks { return taken }
        try await wire.say("DATA", within: Self.patience)
        try await expect(&wire, 354)
        return taken
    }

    /// Envelope, and DATA or all chunks but their last reply, in one group (RFC 2920 §3.1, RFC 3030
    /// §4.2); nil when the relay takes it for nobody.
    private func sayTogether(_ letter: Letter, _ wire: inout Wire) async throws -> [String]? {
        let commands =
            [mail(letter)] + letter.recipients.map { Self.recipient($0, letter) }
            + (way.usesChunks ? [] : ["DATA"])
        var group = Array(commands.map { $0 + "\r\n" }.joined().utf8)
        let chunks = way.usesChunks ? self.chunks(of: letter) : []
        for chunk in chunks { group += chunk }
        if !chunks.isEmpty { town.outOfHands(letter) }
        try await wire.send(group, within: Self.patience)
        let (mail, _) = try await wire.reply(within: Self.patience)
        var taken: [String] = []
        for recipient in letter.recipients {
            let (code, _) = try await wire.reply(within: Self.patience)
            if code == 250 { taken.append(recipient) }
        }
        var worst = 0
        for _ in chunks.dropLast() {
            worst = max(worst, try await wire.reply(within: Self.patience).0)
        }
        if !chunks.isEmpty {
            if mail / 100 != 4, worst <= 250 { return taken }
            // The last chunk's reply says no more.
            _ = try await wire.reply(within: Self.patience)
            town.backInHands(letter)
            if mail / 100 == 4 || worst / 100 == 4 { throw Left() }
            return nil
        }
        let (data, _) = try await wire.reply(within: Self.patience)
        if mail / 100 == 4 || data / 100 == 4 { throw Left() }
        return data == 354 ? taken : nil
    }

    /// The message as BDAT commands, each with its octets.
    private func chunks(of letter: Letter) -> [[UInt8]] {
        let bytes = letter.header + [13, 10] + letter.body
        var chunks: [[UInt8]] = []
        var start = 0
        repeat {
            let left = bytes.count - start
            // The last one may have no octets at all (RFC 3030 §2).
            let count = random.once(in: 3) ? left : random.int(in: 0...left)
            let isLast = count == left && !random.once(in: 6)
            let command = "BDAT \(count)\(isLast ? " LAST" : "")\r\n"
            chunks.append(Array(command.utf8) + bytes[start..<start + count])
            start += count
            if isLast { return chunks }
        } while chunks.count < 20
        chunks.append(Array("BDAT \(bytes.count - start) LAST\r\n".utf8) + bytes[start...])
        return chunks
    }

    /// All of the message; what remains is its reply.
    private func sendMessage(_ letter: Letter, _ wire: inout Wire) async throws {
        if way.usesChunks {
            let chunks = chunks(of: letter)
            for (index, chunk) in chunks.enumerated() {
                try await sendSlowly(chunk, &wire)
                if index < chunks.count - 1 { try await expect(&wire, 250) }
            }
            return
        }
        let bytes = Wire.stuffed(letter.header + [13, 10] + letter.body) + Array(".\r\n".utf8)
        try await sendSlowly(bytes, &wire)
    }

    private func sendSlowly(_ bytes: [UInt8], _ wire: inout Wire) async throws {
        guard kind == .slow || kind == .leaving else {
            return try await wire.send(bytes, within: Self.patience)
        }
        let pieces = random.int(in: 2...6)
        let size = bytes.count / pieces + 1
        for start in stride(from: 0, to: bytes.count, by: size) {
            try leaveSometimes()
            try await wire.send(
                Array(bytes[start..<min(start + size, bytes.count)]),
                within: Self.patience
            )
            await town.outside.sleep(for: random.duration(in: .zero ... .seconds(20)))
        }
    }
}
