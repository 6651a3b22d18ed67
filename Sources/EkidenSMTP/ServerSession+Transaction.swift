// One transaction of a server session: MAIL, RCPT and DATA, what they gather, and what the driver
// answers to the questions they lead to (RFC 5321 §3.3, §4.1.1). A part of `ServerSession`; messages
// in chunks are in ServerSession+Chunks.swift.

import EkidenMail

/// An open mail transaction (RFC 5321 §3.3).
package struct ServerTransaction: Sendable, Equatable {
    package let mail: MailParameters
    /// In the order they were accepted, each once.
    package fileprivate(set) var recipients: [Address] = []
    /// In the same order; shorter where nothing was asked for the last ones.
    private var recipientDemands: [RecipientDemands] = []
    /// The same, for finding repeated ones; never iterated.
    fileprivate var known: Set<Address> = []
    /// Recipients refused because there are enough.
    fileprivate var overshoot = 0

    fileprivate init(_ mail: MailParameters) { self.mail = mail }

    package var demands: SenderDemands {
        var demands = mail.demands
        demands.recipients = recipientDemands
        return demands
    }

    /// A recipient said twice is one, with what was asked for it first.
    fileprivate mutating func add(_ recipient: Address, _ demands: RecipientDemands) {
        guard known.insert(recipient).inserted else { return }
        recipients.append(recipient)
        if demands.isEmpty { return }
        while recipientDemands.count + 1 < recipients.count {
            recipientDemands.append(RecipientDemands())
        }
        recipientDemands.append(demands)
    }
}

extension ServerSession {
    // MARK: MAIL, RCPT, DATA

    mutating func mail(_ argument: GrammarScanner) -> ServerEffect {
        if settings.auth?.isRequired == true, user == nil {
            return refuseWithoutLogin()
        }
        var argument = argument
        guard argument.takeWord("FROM:") else {
            return reject(501, 5, 5, 4, "write MAIL FROM:<address>", .syntax)
        }
        argument.skipSpaces()
        // The parameter that allows it comes behind the address.
        argument.allowsUTF8 = isExtended
        let sender: ReversePath
        do {
            sender = try argument.reversePath()
        } catch {
            return refusePath(error, subject: 1, detail: 7)
        }
        guard let given = argument.parameters() else {
            return reject(501, 5, 5, 4, "parameters are malformed", .syntax)
        }
        do {
            let parameters = try MailParameters(
                sender: sender,
                given,
                isExtended: isExtended,
                isSecured: security != nil,
                takesAuth: settings.auth != nil,
                messageBytes: settings.messageBytes
            )
            if !sender.isASCII, !parameters.demands.smtpUTF8 {
                return refusePath(.nonASCII, subject: 1, detail: 7)
            }
            phase = .askingSender(parameters)
            return .askSender(parameters)
        } catch {
            return reject(error.reply, error.rule)
        }
    }

    mutating func recipient(_ argument: GrammarScanner) -> ServerEffect {
        guard case .transaction(let open) = phase else { return refuseOrder(of: .rcpt) }
        var argument = argument
        guard argument.takeWord("TO:") else {
            return reject(501, 5, 5, 4, "write RCPT TO:<address>", .syntax)
        }
        argument.skipSpaces()
        argument.allowsUTF8 = open.mail.demands.smtpUTF8
        let path: RecipientPath
        do {
            path = try argument.forwardPath()
        } catch {
            return refusePath(error, subject: 1, detail: 3)
        }
        guard let given = argument.parameters() else {
            return reject(501, 5, 5, 4, "parameters are malformed", .syntax)
        }
        let demands: RecipientDemands
        do {
            demands = try RecipientDemands(given, isExtended: isExtended)
        } catch {
            return reject(error.reply, error.rule)
        }
        // RFC 5321 §4.5.3.1.10
        if open.recipients.count >= settings.recipients { return refuseOvershoot(open) }
        phase = .askingRecipient(open, demands)
        return .askRecipient(path)
    }

    /// No error of the client's: it can't know the limit, and those accepted are to be sent
    /// (RFC 5321 §4.5.3.1.10). As many again are forgiven, lest it never ends.
    private mutating func refuseOvershoot(_ open: ServerTransaction) -> ServerEffect {
        let text = "a message has at most \(settings.recipients) recipients; send the rest anew"
        guard open.overshoot < settings.recipients else {
            return reject(452, 4, 5, 3, text, .recipientLimit)
        }
        var open = open
        open.overshoot += 1
        phase = .transaction(open)
        commands -= 1
        return .reject(
            Reply(452, EnhancedStatus(4, 5, 3), text),
            rule: ServerRule.recipientLimit.rawValue
        )
    }

    mutating func data() -> ServerEffect {
        guard case .transaction(let open) = phase, !open.recipients.isEmpty else {
            // RFC 5321 §3.3: 503 or 554.
            return reject(554, 5, 5, 1, "no valid recipients", .noRecipients)
        }
        phase = .data(open)
        return .startData(.startData)
    }

    // MARK: The driver's answers

    /// - Parameter other: the reverse-path that policy puts in the place of what was said.
    package mutating func senderAccepted(as other: ReversePath? = nil) -> ServerEffect {
        guard case .askingSender(var mail) = phase else { preconditionFailure("no sender asked") }
        if let other { mail.sender = other }
        phase = .transaction(ServerTransaction(mail))
        return .reply(.senderOK)
    }

    package mutating func senderRefused(_ reply: Reply, rule: String) -> ServerEffect {
        guard case .askingSender = phase else { preconditionFailure("no sender asked") }
        phase = .ready
        return reject(reply, rule)
    }

    /// - Parameter address: where the mail for it goes: what RCPT said, or the address that
    ///   stands for the bare `<Postmaster>`.
    package mutating func recipientAccepted(_ address: Address) -> ServerEffect {
        guard case .askingRecipient(var open, let demands) = phase else {
            preconditionFailure("no recipient asked")
        }
        // So that the arrays below have one owner and grow in place.
        phase = .ready
        commands -= 1
        open.add(address, demands)
        phase = .transaction(open)
        return .reply(.recipientOK)
    }

    package mutating func recipientRefused(_ reply: Reply, rule: String) -> ServerEffect {
        guard case .askingRecipient(let open, _) = phase else {
            preconditionFailure("no recipient asked")
        }
        phase = .transaction(open)
        return reject(reply, rule)
    }

    /// The message is durable and ours; `reply` says so.
    package mutating func messageAccepted(_ reply: Reply) -> ServerEffect {
        precondition(isEndOfMessage, "no message was being received")
        phase = .ready
        errors = 0
        commands = 0
        return .reply(reply)
    }

    package mutating func messageRefused(_ reply: Reply, rule: String) -> ServerEffect {
        precondition(isEndOfMessage, "no message was being received")
        phase = .ready
        return reject(reply, rule)
    }
}
