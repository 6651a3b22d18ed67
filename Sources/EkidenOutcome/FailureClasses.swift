// Which class a failure is of: by our own reason where we know it, else by what the host said. The words
// are those of common servers and large providers; statuses are RFC 3463's and RFC 7372's. The first row
// that fits decides.

import EkidenMail

package enum FailureClasses {
    private struct Row {
        let failureClass: FailureClass
        /// Subject and detail of the host's own status; empty: none decides.
        var statuses: Set<EnhancedDetail> = []
        /// In lower case; one of them is in the reply.
        var words: [String] = []
        /// nil: temporary and permanent ones.
        var isPermanent: Bool?
    }

    private struct EnhancedDetail: Hashable {
        let subject: UInt16
        let detail: UInt16
        init(_ subject: UInt16, _ detail: UInt16) {
            self.subject = subject
            self.detail = detail
        }
    }

    private static let rows = [
        Row(
            failureClass: .greylisted,
            words: ["greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list"],
            isPermanent: false
        ),
        Row(
            failureClass: .mailboxFull,
            statuses: [.init(2, 2)],
            words: [
                "mailbox full", "mailbox is full", "over quota", "overquota", "quota exceeded",
                "exceeded storage", "mailbox size limit", "out of storage",
            ]
        ),
        // RFC 7372 §3: X.7.20 to X.7.26.
        Row(
            failureClass: .authentication,
            statuses: Set((20...27).map { EnhancedDetail(7, $0) }),
            words: ["dmarc", "dkim", "spf ", "spf:", "sender policy framework", "unauthenticated"]
        ),
        Row(
            failureClass: .unknownUser,
            statuses: [.init(1, 1), .init(1, 6), .init(2, 1), .init(1, 0)],
            words: [
                "user unknown", "unknown user", "no such user", "no such mailbox",
                "unknown recipient",
                "recipient not found", "mailbox not found", "user not found", "no mailbox here",
                "invalid recipient", "account does not exist", "address does not exist",
                "recipient address rejected: access denied",
            ],
            isPermanent: true
        ),
        Row(
            failureClass: .spam,
            words: [
                "spam", "blocklist", "block list", "blacklist", "black list", "blackhole", "dnsbl",
                " rbl", "reputation", "unsolicited", "barracuda", "proofpoint dynamic",
            ]
        ),
        Row(
            failureClass: .content,
            statuses: [.init(3, 4), .init(2, 3)],
            words: ["virus", "malware", "attachment", "message too large", "message size exceeds"]
        ),
        Row(
            failureClass: .policy,
            words: ["policy", "not permitted", "not allowed", "access denied", "administrative"]
        ),
    ]

    package static func of(_ failure: Failure) -> FailureClass {
        if let own = own(failure.reason) { return own }
        if Crowding.says(failure) { return .rateLimited }
        let text = (failure.reply?.oneLine ?? failure.text).asciiLowercased
        let status = failure.reply?.status.map { EnhancedDetail($0.subject, $0.detail) }
        // A host's own status says more than words that may stand in it by chance.
        let byStatus = rows.first { row in status.map(row.statuses.contains) ?? false }
        let byWords = rows.first { row in
            (row.isPermanent == nil || row.isPermanent == failure.isPermanent)
                && row.words.contains { text.contains($0) }
        }
        if let row = byStatus ?? byWords { return row.failureClass }
        return bySubject(failure)
    }

    /// RFC 3463 §3.7, §3.8; and the mailbox of which a 550 without more speaks.
    private static func bySubject(_ failure: Failure) -> FailureClass {
        switch (failure.status.subject, failure.status.detail) {
        case (1, 1) where failure.isPermanent: .unknownUser
        case (2, 2): .mailboxFull
        case (6, _): .content
        case (7, _): .policy
        default: .other
        }
    }

    private static func own(_ reason: Reason) -> FailureClass? {
        switch reason {
        case .nameServerFailure, .nameServerTimeout: .names
        case .domainNotFound, .noAddress, .nullExchange: .badDomain
        case .mailLoop, .tooManyHops: .loop
        case .connectionRefused, .connectionTimedOut, .hostUnreachable, .connectionLost,
            .replyTimedOut, .siteBackingOff, .protocolError:
            .network
        case .tlsUnavailable, .tlsFailed, .tlsUnverified, .tlsRequired: .tls
        case .loginUnavailable, .loginFailed, .routeRefused: .authentication
        case .eightBitUnsupported, .utf8Unsupported, .messageTooLarge: .content
        case .routeBounces, .routeDiscards, .routeHolds, .routeFallback, .routeClosed, .routeOpened:
            .ours
        case .spoolUnavailable, .stopping, .noRoute, .damaged: .ours
        default: nil
        }
    }
}
