// When the host of a route refuses mail because of us, and not because of the message: it does not let us
// relay, or not as that sender, or wants a login. Known by its words; only hosts of routes are meant, for
// to those we send by our own choice, as a smarthost's customer.

import EkidenMail

enum RouteRefusal {
    private struct Row {
        /// Empty: any 5yz.
        let codes: Set<UInt16>
        /// Empty: any.
        let statuses: Set<EnhancedStatus>
        /// In lower case; one of them is in the reply; empty: any.
        let words: [String]
        /// Said of a sender, which is ours to mend only where we are known by a login: a gateway's host
        /// says it of strangers' mail.
        var isOfSenders = false
    }

    private static let table = [
        // RFC 4954 §6: 530 5.7.0, authentication required.
        Row(codes: [530], statuses: [], words: []),
        // RFC 4954 §6: X.7.8, credentials invalid; whatever the code it comes with.
        Row(codes: [], statuses: [EnhancedStatus(5, 7, 8)], words: []),
        // The words of common servers.
        Row(
            codes: [550, 551, 553, 554],
            statuses: [],
            words: [
                "relay access denied", "relaying denied", "relay not permitted", "unable to relay",
                "not permitted to relay", "we do not relay", "authentication required",
            ]
        ),
        Row(
            codes: [550, 551, 553, 554],
            statuses: [],
            words: [
                "sendasdenied", "send as denied", "not allowed to send as", "not authenticated",
                "sender address rejected: not owned",
            ],
            isOfSenders: true
        ),
    ]

    /// The failure as it is to be judged.
    static func judged(_ failure: Failure, isRouted: Bool, isLoggedIn: Bool) -> Failure {
        guard isRouted, says(failure, isLoggedIn) else { return failure }
        return Failure(
            scope: .site,
            isPermanent: false,
            reason: .routeRefused,
            step: failure.step,
            host: failure.host,
            reply: failure.reply,
            text: failure.text,
            status: failure.status
        )
    }

    private static func says(_ failure: Failure, _ isLoggedIn: Bool) -> Bool {
        guard failure.isPermanent, let reply = failure.reply, reply.isPermanent else {
            return false
        }
        switch failure.step {
        case .mail, .recipient, .data, .endOfData: break
        default: return false
        }
        let text = reply.oneLine.asciiLowercased
        return table.contains { row in
            (isLoggedIn || !row.isOfSenders)
                && (row.codes.isEmpty || row.codes.contains(reply.code))
                && (row.statuses.isEmpty || reply.status.map(row.statuses.contains) ?? false)
                && (row.words.isEmpty || row.words.contains { text.contains($0) })
        }
    }
}
