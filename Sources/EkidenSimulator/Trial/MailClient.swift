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
    private let letters: [Letter]
    private unowned let town: Town
    private let random: SimRandom

    private static let patience = Duration.seconds(400)

    init(_ number: Int, _ kind: Kind, _ letters: [Letter], town: Town) {
        self.number = number
        self.kind = kind
        self.letters = letters
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
                to: town.plan.relayEndpoint,
                from: .v4(0x0a00_0100 + UInt32(number)),
                on: town.outside,
                until: town.outside.now() + .seconds(60)
            )
            var wire = Wire(connection)
            try await expect(&wire, 220)
            try await wire.say("EHLO client\(number).test", within: Self.patience)
            try await expect(&wire, 250)
            if isSecure {
                try await wire.say("STARTTLS", within: Self.patience)
                try await expect(&wire, 220)
                wire.connection.setDeadline(town.outside.now() + Self.patience)
                _ = try await wire.connection.secure(with: SimTLSEngine(askingFor: "relay.test"))
                try await wire.say("EHLO client\(number).test", within: Self.patience)
                try await expect(&wire, 250)
            }
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

    /// Every other client asks for TLS where it may, all where they must.
    private var isSecure: Bool {
        switch town.plan.security {
        case .none: false
        case .offered: number % 2 == 0
        case .required: true
        }
    }

    private struct Left: Error {}

    private func leaveSometimes() throws {
        if kind == .leaving, !town.isCalm, random.once(in: 8) { throw Left() }
    }

    private func expect(_ wire: inout Wire, _ code: Int) async throws {
        let (got, text) = try await wire.reply(within: Self.patience)
        if got != code { throw IOFailure.other("\(got) \(text)") }
    }

    /// Errors: the connection's, or a temporary refusal; both mean that it is to be sent again.
    private func send(_ letter: Letter, _ wire: inout Wire) async throws {
        let from = "MAIL FROM:<\(letter.sender ?? "")>"
        var taken: [String] = []
        if kind == .pipelining {
            let commands = [from] + letter.recipients.map { "RCPT TO:<\($0)>" } + ["DATA"]
            try await wire.say(commands.joined(separator: "\r\n"), within: Self.patience)
            let (mail, _) = try await wire.reply(within: Self.patience)
            for recipient in letter.recipients {
                let (code, _) = try await wire.reply(within: Self.patience)
                if code == 250 { taken.append(recipient) }
            }
            let (data, _) = try await wire.reply(within: Self.patience)
            if mail / 100 == 4 || data / 100 == 4 { throw Left() }
            if data != 354 { return }
        } else {
            try await wire.say(from, within: Self.patience)
            try await expect(&wire, 250)
            for recipient in letter.recipients {
                try leaveSometimes()
                try await wire.say("RCPT TO:<\(recipient)>", within: Self.patience)
                if try await wire.reply(within: Self.patience).0 == 250 { taken.append(recipient) }
            }
            try leaveSometimes()
            try await wire.say("DATA", within: Self.patience)
            try await expect(&wire, 354)
        }
        try await sendMessage(letter, &wire)
        town.outOfHands(letter)
        try leaveSometimes()
        let (code, text) = try await wire.reply(within: Self.patience)
        if code == 250 { return town.acknowledged(letter, taken, text) }
        // Refused, and told so: the letter is the client's again.
        town.backInHands(letter)
        if code / 100 == 4 { throw Left() }
    }

    private func sendMessage(_ letter: Letter, _ wire: inout Wire) async throws {
        var bytes = Wire.stuffed(letter.header + [13, 10] + letter.body)
        bytes += Array(".\r\n".utf8)
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
