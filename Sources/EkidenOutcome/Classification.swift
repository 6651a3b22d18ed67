// The one policy table: what a failure means for those it concerns. Delivery asks it (through a
// closure) whether to go on to the next host; `judge` asks it what becomes of the recipients. The
// first row that fits decides, and every failure fits one. Its rules: RFC 5321 §4.2.1 (what 4yz and
// 5yz mean) and §5.1 (trying hosts in turn); docs/DELIVERY.md prints it.

import EkidenMail

/// What to do about a failure.
package enum FailureAction: String, Sendable, CaseIterable {
    /// Try the next host of the site in this attempt.
    case nextHost = "next-host"
    /// Those concerned are tried again later.
    case deferRecipients = "defer"
    /// Those concerned bounce.
    case bounceRecipients = "bounce"
    /// Everybody in the job is tried again later, and nothing more is tried in this attempt.
    case deferAll = "defer-all"
    /// Those concerned go at once in another transaction.
    case againNow = "again-now"
    /// Everybody in the job waits until it is mended, however long; not counted as an attempt.
    case awaitRepair = "await-repair"
    /// Everybody in the job waits until the route opens, or their lifetime is over; not counted.
    case awaitOpening = "await-opening"
    /// Our own fault: wait a little; neither bounces nor counts as an attempt.
    case stop
    /// Those concerned are done with, and nobody is told.
    case discard
    /// The message waits for an operator.
    case hold
}

/// A row: empty sets and nil fit everything.
package struct PolicyRow: Sendable {
    package let name: String
    package let scopes: [Failure.Scope]
    package let isPermanent: Bool?
    package let isLastHost: Bool?
    package let steps: [DeliveryStep]
    package let reasons: [Reason]
    package let action: FailureAction

    init(
        _ name: String,
        _ scopes: [Failure.Scope] = [],
        permanent: Bool? = nil,
        lastHost: Bool? = nil,
        steps: [DeliveryStep] = [],
        reasons: [Reason] = [],
        _ action: FailureAction
    ) {
        self.name = name
        self.scopes = scopes
        isPermanent = permanent
        isLastHost = lastHost
        self.steps = steps
        self.reasons = reasons
        self.action = action
    }

    func fits(_ failure: Failure, isLastHost last: Bool) -> Bool {
        (scopes.isEmpty || scopes.contains(failure.scope))
            && (isPermanent == nil || isPermanent == failure.isPermanent)
            && (isLastHost == nil || isLastHost == last)
            && (steps.isEmpty || steps.contains(failure.step))
            && (reasons.isEmpty || reasons.contains(failure.reason))
    }
}

package enum Classification {
    package static let table: [PolicyRow] = [
        PolicyRow("our own fault", [.ours], .stop),
        // What the operator has decided of such mail.
        PolicyRow("a route discards it", reasons: [.routeDiscards], .discard),
        PolicyRow("its route is closed for now", reasons: [.routeClosed], .awaitOpening),
        PolicyRow("a route holds it", reasons: [.routeHolds], .hold),
        // The peer may have taken the message: another host at once would be a likely duplicate.
        PolicyRow(
            "no reply to the final dot",
            steps: [.endOfData],
            reasons: [.connectionLost, .replyTimedOut],
            .deferAll
        ),
        // RFC 5321 §4.5.3.1.10: after some were accepted, the rest go in another transaction.
        PolicyRow(
            "too many recipients for one transaction",
            permanent: false,
            reasons: [.tooManyRecipients],
            .againNow
        ),
        // What is wrong is ours to mend, and may be so at the next host, too: it is not asked.
        PolicyRow(
            "login at the next hop failed",
            reasons: [.loginUnavailable, .loginFailed],
            .awaitRepair
        ),
        // Counted, for it may be this sender's or this message's fault after all.
        PolicyRow("a route's host refuses us", reasons: [.routeRefused], .deferAll),
        // RFC 5321 §5.1, RFC 7505 §3: no such domain, no mail taken there, or it is ourselves.
        PolicyRow("next hop refused for good", [.site], permanent: true, .bounceRecipients),
        PolicyRow("next hop not reached", [.site], permanent: false, .deferAll),
        // Another host may be able where this one is not.
        PolicyRow(
            "host can't take such a message, others may",
            [.message, .recipient],
            lastHost: false,
            reasons: [.eightBitUnsupported, .utf8Unsupported, .tlsRequired, .messageTooLarge],
            .nextHost
        ),
        PolicyRow("host failed, others are left", [.host], lastHost: false, .nextHost),
        PolicyRow(
            "last host refused in greeting or hello",
            [.host],
            permanent: true,
            lastHost: true,
            steps: [.greeting, .hello],
            .bounceRecipients
        ),
        PolicyRow("last host failed", [.host], lastHost: true, .deferAll),
        // RFC 5321 §4.2.1: 5yz, "the client should not repeat the exact request".
        PolicyRow("message refused for good", [.message], permanent: true, .bounceRecipients),
        PolicyRow(
            "message deferred, others are left",
            [.message],
            permanent: false,
            lastHost: false,
            .nextHost
        ),
        PolicyRow("message deferred", [.message], permanent: false, .deferRecipients),
        PolicyRow("recipient refused for good", [.recipient], permanent: true, .bounceRecipients),
        PolicyRow(
            "recipient deferred, others are left",
            [.recipient],
            permanent: false,
            lastHost: false,
            .nextHost
        ),
        PolicyRow("recipient deferred", [.recipient], permanent: false, .deferRecipients),
    ]

    /// The row that decides.
    package static func row(for failure: Failure, isLastHost: Bool) -> PolicyRow {
        guard let row = table.first(where: { $0.fits(failure, isLastHost: isLastHost) }) else {
            preconditionFailure("the policy table covers every failure")
        }
        return row
    }

    package static func action(for failure: Failure, isLastHost: Bool) -> FailureAction {
        row(for: failure, isLastHost: isLastHost).action
    }

    /// The peer may have taken the message although we count it as failed.
    package static func isAmbiguous(_ failure: Failure) -> Bool {
        failure.step == .endOfData
            && (failure.reason == .connectionLost || failure.reason == .replyTimedOut)
    }
}
