// How many of a job's recipients one transaction may name, where the peer says so in its answer to
// EHLO (RFC 9422). The others are not asked for: they go in another transaction, unless what failed
// concerns them just as well.

import EkidenMail

package struct TransactionShare: Sendable {
    /// Places, among those offered, of the recipients to ask for; in their order.
    package private(set) var asked: [Int] = []
    /// Domains named in this session, when the peer counts them; bounded by what it says it takes.
    package private(set) var domains: Set<Domain>
    private let offered: Int
    private let host: PeerHost
    private let words: String

    /// - Parameters:
    ///   - recipients: in the order of the results wanted.
    ///   - domains: those named earlier in this session; `hasRoom` says whether they leave room.
    package init(
        of recipients: [Address],
        extensions: Extensions,
        domains: Set<Domain>,
        host: PeerHost
    ) {
        precondition(
            Self.hasRoom(for: recipients, extensions: extensions, domains: domains),
            "a session that takes none of the recipients is not used for them"
        )
        offered = recipients.count
        self.host = host
        self.domains = domains
        words = extensions.limitsText
        for (place, recipient) in recipients.enumerated() {
            // RFC 9422 §4.2: RCPT commands in one transaction, however they are answered.
            if let most = extensions.recipientsMax, asked.count >= most { break }
            guard let most = extensions.recipientDomainsMax else {
                asked.append(place)
                continue
            }
            // RFC 9422 §4.3: different domains in one session.
            if self.domains.count < most { self.domains.insert(recipient.domain) }
            guard self.domains.contains(recipient.domain) else { continue }
            asked.append(place)
        }
    }

    /// Whether any of the recipients may be named in a session that has named these domains.
    package static func hasRoom(
        for recipients: [Address],
        extensions: Extensions,
        domains: Set<Domain>
    ) -> Bool {
        guard let most = extensions.recipientDomainsMax, domains.count >= most else { return true }
        return recipients.contains { domains.contains($0.domain) }
    }

    /// One result for each recipient offered, from those of the recipients asked for.
    package func results(_ heard: [RecipientResult]) -> [RecipientResult] {
        if heard.count == offered { return heard }
        let common = heard.lazy.compactMap(Self.failureOfAll).first
        var results = Array(
            repeating: RecipientResult.failed(common ?? notAsked),
            count: offered
        )
        for (place, result) in zip(asked, heard) { results[place] = result }
        return results
    }

    /// A failure that has nothing to do with who was asked for. A refusal of the message for good may
    /// have: it was said knowing the recipients, and others may take what these do not.
    private static func failureOfAll(_ result: RecipientResult) -> Failure? {
        guard case .failed(let failure) = result, failure.scope != .recipient else { return nil }
        // The host may have taken it for those it was told of; of the others it knows nothing.
        if failure.step == .endOfData, failure.reply == nil { return nil }
        return failure.isPermanent && failure.step != .mail ? nil : failure
    }

    private var notAsked: Failure {
        Failure(
            scope: .recipient,
            isPermanent: false,
            reason: .tooManyRecipients,
            step: .recipient,
            host: host,
            text: "the host says in its answer to EHLO how much it takes at a time (\(words))",
            status: EnhancedStatus(4, 5, 3)
        )
    }
}
