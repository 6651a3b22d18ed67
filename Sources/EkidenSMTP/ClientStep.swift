// Beside each step of a delivery its patience and, where the peer gave a reply without an enhanced
// status, the closest one. A table: the steps themselves and their phrases are EkidenMail's.

import EkidenMail

/// How long each step may take before the peer is given up. Defaults are RFC 5321 §4.5.3.2.
package struct ClientTimeouts: Sendable, Equatable {
    package var connect: Duration = .seconds(30)
    /// §4.5.3.2.1
    package var greeting: Duration = .seconds(300)
    /// Not in the RFC; as MAIL. STARTTLS, the handshake and the login, too.
    package var hello: Duration = .seconds(300)
    /// §4.5.3.2.2
    package var mail: Duration = .seconds(300)
    /// §4.5.3.2.3
    package var recipient: Duration = .seconds(300)
    /// §4.5.3.2.4
    package var data: Duration = .seconds(120)
    /// §4.5.3.2.5: each part of the message while it is sent.
    package var dataBlock: Duration = .seconds(180)
    /// §4.5.3.2.6: giving up early here makes duplicates.
    package var endOfData: Duration = .seconds(600)
    package var reset: Duration = .seconds(20)
    package var quit: Duration = .seconds(5)

    package init() {}

    /// From when the step's command is sent (or its reply first waited for) to the whole reply.
    package func patience(for step: DeliveryStep) -> Duration {
        switch step {
        case .resolve, .connect: connect
        case .greeting: greeting
        case .hello, .startTLS, .login: hello
        case .mail: mail
        case .recipient: recipient
        case .data: data
        case .endOfData: endOfData
        case .reset: reset
        case .quit: quit
        }
    }
}

extension Reply {
    /// The peer's enhanced status, else the closest of RFC 3463 to a refusal at that step.
    package func status(at step: DeliveryStep) -> EnhancedStatus {
        if let status { return status }
        let category = UInt8(clamping: code / 100)
        let (subject, detail) = Self.closest(code, step)
        return EnhancedStatus(category, subject, detail)
    }

    /// Subject and detail; 0.0, "other", where the code says nothing more.
    private static func closest(_ code: UInt16, _ step: DeliveryStep) -> (UInt16, UInt16) {
        switch (code, step) {
        case (421, _), (521, _): (3, 2)  // system not accepting messages
        case (450, .recipient): (2, 0)  // other mailbox status
        case (451, _): (3, 0)  // other mail system status
        case (452, .recipient): (5, 3)  // too many recipients
        case (452, _): (3, 1)  // mail system full
        case (454, _), (530, _): (7, 0)  // other security status
        case (455, _), (501, _), (504, _), (555, _): (5, 4)  // invalid command arguments
        case (500, _): (5, 2)  // syntax error
        case (502, _), (503, _): (5, 1)  // invalid command
        case (535, _): (7, 8)  // credentials invalid
        case (550, .recipient): (1, 1)  // bad destination mailbox address
        case (550, .mail): (1, 0)  // other address status
        case (551, _): (1, 6)  // mailbox has moved
        case (552, .recipient): (2, 2)  // mailbox full
        case (552, _): (3, 4)  // message too big for system
        case (553, .recipient): (1, 3)  // bad destination mailbox address syntax
        case (553, .mail): (1, 7)  // bad sender's mailbox address syntax
        case (554, .greeting): (3, 2)
        case (556, _): (1, 10)  // recipient address has null MX (RFC 7504 §4, RFC 7505 §4)
        default: (0, 0)
        }
    }
}
