// What an attempt says about its site: whether its hosts can be talked to, and whether they think
// that we talk too much. The scheduler opens and closes connections by it.

import EkidenMail

package enum SiteVerdict: Sendable, Equatable {
    case alive
    /// A host answered, and said that we come too often or with too many connections.
    case crowded(Failure)
    /// No host let us in, or none that would do.
    case trouble(Failure)
    case unknown

    package init(_ report: AttemptReport) {
        var trouble: Failure?
        var crowding: Failure?
        var mending: Failure?
        var wasLetIn = false
        var failures = report.earlier
        for result in report.results {
            if case .failed(let failure) = result {
                failures.append(failure)
            } else {
                wasLetIn = true
            }
        }
        for failure in failures {
            if crowding == nil, Crowding.says(failure) { crowding = failure }
            switch failure.scope {
            case .message, .recipient: wasLetIn = true
            case .ours: continue
            case .host, .site:
                trouble = trouble ?? failure
                // A host without the TLS that policy asks for, or that refuses our login, answers and
                // is of no use: each message would try it anew, and lock us out.
                if failure.reason.isOursToMend { mending = mending ?? failure }
                if !Self.doorSteps.contains(failure.step) { wasLetIn = true }
            }
        }
        let wasTaken = report.results.contains { if case .delivered = $0 { true } else { false } }
        if let mending, !wasTaken {
            self = .trouble(mending)
        } else if let crowding, report.siteIsAlive, wasLetIn {
            self = .crowded(crowding)
        } else if let trouble, !wasLetIn || !report.siteIsAlive {
            self = .trouble(trouble)
        } else {
            self = report.siteIsAlive ? .alive : .unknown
        }
    }

    /// Steps before mail could be offered.
    private static let doorSteps: Set<DeliveryStep> = [
        .resolve, .connect, .greeting, .hello, .startTLS, .login,
    ]
}

/// By which replies hosts say that we come too often or with too many connections at once. Temporary
/// ones alone; what was refused for good is not sent again, however slowly.
package enum Crowding {
    package struct Row: Sendable {
        package let who: String
        /// Empty: any temporary one.
        package let codes: Set<UInt16>
        /// In lower case; one of them is in the reply.
        package let words: [String]
    }

    /// What operators of mail hosts publish of their replies, and what the common servers say.
    package static let table = [
        Row(
            who: "any",
            codes: [421, 450, 451, 452, 454],
            words: [
                "too many connections", "too many concurrent", "too many simultaneous",
                "too many sessions", "connection limit", "connections limit", "maximum connections",
                "concurrency limit", "connection rate", "rate limit", "rate-limit", "ratelimit",
                "message rate", "throttl", "sending too fast", "slow down",
            ]
        ),
        // Not "receiving mail at a rate": that is a single mailbox.
        Row(who: "Gmail", codes: [421], words: ["unusual rate of"]),
        Row(
            who: "Outlook.com",
            codes: [421],
            words: ["rp-001", "rp-002", "rp-003"]
        ),
        Row(who: "Microsoft 365", codes: [451], words: ["server busy", "4.7.500"]),
        Row(who: "Yahoo", codes: [421, 451], words: ["[tss04]", "[ts01]", "[ts02]", "[ts03]"]),
    ]

    /// Whether the peer's words mean that.
    package static func says(_ failure: Failure) -> Bool {
        guard let reply = failure.reply, reply.isTransient else { return false }
        let text = reply.oneLine.asciiLowercased
        return table.contains { row in
            (row.codes.isEmpty || row.codes.contains(reply.code))
                && row.words.contains { text.contains($0) }
        }
    }
}
