// Whose turn a message takes: what the configuration says of streams, for the scheduler.

import EkidenConfiguration
import EkidenMail
import EkidenScheduler

/// The streams of one configuration, indexed once. An object: each message asks it.
final class Streams: Sendable {
    private struct Conditions: Sendable {
        let stream: Configuration.Stream
        let senders: MailboxPatterns?

        /// Its sender without what changes from message to message.
        private func plain(_ message: QueuedMessage) -> ReversePath {
            guard case .address(let sender) = message.sender else { return message.sender }
            let mailbox = String(Substring(Streams.mailbox(of: sender.localPart)))
            return .address(Address(localPart: mailbox, domain: sender.domain))
        }

        func fit(_ message: QueuedMessage) -> Bool {
            if let senders, !senders.contains(message.sender), !senders.contains(plain(message)) {
                return false
            }
            return message.origin.cameBy(logins: stream.logins, listeners: stream.listeners)
        }
    }

    private let all: [Conditions]

    init(_ streams: [Configuration.Stream]) {
        all = streams.map {
            Conditions(stream: $0, senders: $0.senders.isEmpty ? nil : MailboxPatterns($0.senders))
        }
    }

    func standing(of message: QueuedMessage) -> Standing {
        let stream = all.first { $0.fit(message) }?.stream
        return Standing(
            share: Self.share(of: message),
            isUrgent: stream?.priority == .high,
            stream: stream?.rate == nil ? nil : stream?.name
        )
    }

    /// One number for all messages that share their turns: those of a login, else those of a sender.
    static func share(of message: QueuedMessage) -> UInt32 {
        var hash = ShareHash()
        if let login = message.origin.login {
            hash.add(1)
            for byte in login.utf8 { hash.add(byte) }
            return hash.value
        }
        guard case .address(let sender) = message.sender else { return hash.value }
        hash.add(2)
        for byte in mailbox(of: sender.localPart) { hash.add(byte) }
        hash.add(0x40)
        for byte in sender.domain.folded.utf8 { hash.add(byte) }
        return hash.value
    }

    private static let batv = Array("prvs=".utf8)

    /// The local part without what changes from message to message: `news+anna=example.org` (VERP) is
    /// `news`, `news-17-anna=example.org` is, too.
    static func mailbox(of localPart: String) -> Substring.UTF8View {
        var whole = localPart[...].utf8
        // BATV: `prvs=tag=anna` is anna.
        if whole.starts(with: batv, by: { $0 | 0x20 == $1 | 0x20 }),
            let mark = whole.lastIndex(of: UInt8(ascii: "="))
        {
            whole = whole[whole.index(after: mark)...]
        }
        let cut = whole.firstIndex { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "=") }
        guard let cut else { return whole }
        var kept = whole[..<cut]
        if whole[cut] == UInt8(ascii: "="), let dash = kept.firstIndex(of: UInt8(ascii: "-")) {
            kept = kept[..<dash]
        }
        return kept.isEmpty ? whole : kept
    }
}

/// FNV-1a of 32 bits, the same in every process, so that a simulated world can be had again.
private struct ShareHash {
    private(set) var value: UInt32 = 2_166_136_261

    mutating func add(_ byte: UInt8) { value = (value ^ UInt32(byte)) &* 16_777_619 }
}

extension Configuration {
    /// What the scheduler has for each stream with a rate.
    var streamRates: [String: PaceSettings] {
        var rates: [String: PaceSettings] = [:]
        for stream in streams {
            if let rate = stream.rate {
                rates[stream.name] = PaceSettings(rate, burst: stream.burst)
            }
        }
        return rates
    }
}
