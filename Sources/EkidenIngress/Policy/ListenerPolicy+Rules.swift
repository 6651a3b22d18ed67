// The decisions of a listener's policy, in the order a session comes to them. Pure: facts in, a
// verdict out. Each refusal has a rule of its own, and words that tell the sender what to do.

import EkidenMail
import EkidenSMTP

extension ListenerPolicy {
    /// The client may send to anywhere: for its network, for the user who logged in, or because an
    /// operator lets it for a while.
    package func mayRelay(_ client: ClientStanding) -> Bool {
        client.isLoggedIn || mayRelay(client.address)
            || rules.allowances?.covers(client.address, at: client.now) == true
    }

    // MARK: Client

    /// What keeps this client from being served at all.
    package func refusal(of client: HostAddress) -> PolicyRefusal? {
        guard let match = rules.clientLists.denial(of: client) else { return nil }
        // The reply says nothing of the network's size, which is for its neighbours to find out.
        let text =
            "\(session.hostName) takes no mail from \(client.text); its operator may write to the "
            + "postmaster here by another way"
        return PolicyRefusal(
            Reply(554, EnhancedStatus(5, 7, 1), text),
            rule: "denied-client",
            entry: match.text
        )
    }

    /// What is wrong with the name a client gave in EHLO or HELO.
    package func refusal(ofHello name: String, from client: ClientStanding) -> PolicyRefusal? {
        if rules.helloCheck == .off || isTrusted(client) { return nil }
        let address = client.address
        let complaint = HelloComplaint(
            name,
            of: address,
            ownNames: rules.ownNames,
            isOwnAddress: address.isLoopback || rules.ownNetworks.contains { $0.contains(address) }
        )
        guard let complaint else { return nil }
        let text = "\(name) \(complaint.words)"
        return PolicyRefusal(
            Reply(550, EnhancedStatus(5, 7, 1), text),
            rule: complaint.rawValue
        )
    }

    /// What is wrong with the name the DNS has for a client.
    package func refusal(
        ofReverse finding: ReverseFinding,
        from client: ClientStanding
    ) -> PolicyRefusal? {
        if rules.reverseCheck != .require || isTrusted(client) { return nil }
        switch finding {
        case .confirmed: return nil
        case .missing(let why):
            // RFC 7372 §3.3: X.7.25, reverse DNS validation failed.
            let text = why + "; have the DNS name your host, and the name lead back"
            let reply = Reply(550, EnhancedStatus(5, 7, 25), text)
            return PolicyRefusal(reply, rule: "no-reverse-name")
        case .unknown(let why):
            let text = "the name of your host can't be found out now (\(why)); try again later"
            let reply = Reply(450, EnhancedStatus(4, 7, 25), text)
            return PolicyRefusal(reply, rule: "reverse-name-unknown")
        }
    }

    /// Checks of what a client says of itself leave it alone.
    private func isTrusted(_ client: ClientStanding) -> Bool {
        mayRelay(client) || rules.clientLists.allows(client.address)
    }

    // MARK: Sender

    package func refusal(of sender: ReversePath) -> PolicyRefusal? {
        // Bounces come from nobody, and lists have no entry for that.
        guard case .address(let address) = sender,
            let match = rules.senderLists.denial(of: address)
        else { return nil }
        let whom = match.entry.contains("@") ? address.text : "senders at \(address.domain.text)"
        let text = "no mail is taken from \(whom) here"
        return PolicyRefusal(
            Reply(550, EnhancedStatus(5, 7, 1), text),
            rule: "denied-sender",
            entry: match.text
        )
    }

    // MARK: Recipient

    /// Whether mail for that recipient is taken from this client, and to which address it goes.
    package func verdict(
        on path: RecipientPath,
        from client: ClientStanding
    ) -> Result<Address, PolicyRefusal> {
        switch path {
        case .postmaster:
            // RFC 5321 §4.5.1: always a valid recipient; who reads it is a setting.
            if let postmaster { return .success(postmaster) }
            let text = "no postmaster is configured here; set relay.postmaster"
            return .failure(
                PolicyRefusal(Reply(451, EnhancedStatus(4, 3, 5), text), rule: "no-postmaster")
            )
        case .address(let address):
            return refusal(of: address, from: client).map { .failure($0) } ?? .success(address)
        }
    }

    private func refusal(of recipient: Address, from client: ClientStanding) -> PolicyRefusal? {
        let isOurs = rules.relayDomains.match(recipient.domain) != nil
        // RFC 5321 §4.5.1: any system that relays mail takes it for the postmaster of its domains.
        if isOurs, recipient.isPostmaster { return nil }
        if let match = rules.recipientLists.denial(of: recipient) {
            return denied(recipient, match)
        }
        if !isOurs { return mayRelay(client) ? nil : relayDenied(client) }
        if let list = rules.recipients?.current {
            // Nobody may send to who isn't there, lest a bounce tells it instead of a reply.
            guard let entry = list.match(recipient) else { return unknown(recipient) }
            // Who is listed by name is known; a whole domain's entry knows no local part.
            if entry.contains("@") { return nil }
        }
        return recipient.mayRouteOn && !mayRelay(client) ? routed(recipient) : nil
    }

    private func relayDenied(_ client: ClientStanding) -> PolicyRefusal {
        let text =
            "relaying denied: \(client.address.text) is not in a network this relay works for"
            + (session.auth == nil ? "" : ", and nobody is logged in")
        return PolicyRefusal(Reply(550, EnhancedStatus(5, 7, 1), text), rule: "relay-denied")
    }

    private func denied(_ recipient: Address, _ match: ListMatch) -> PolicyRefusal {
        let whom =
            match.entry.contains("@") ? recipient.text : "recipients at \(recipient.domain.text)"
        let text = "no mail is taken for \(whom) here"
        return PolicyRefusal(
            Reply(550, EnhancedStatus(5, 7, 1), text),
            rule: "denied-recipient",
            entry: match.text
        )
    }

    private func unknown(_ recipient: Address) -> PolicyRefusal {
        // RFC 3463 §3.2: X.1.1, bad destination mailbox address.
        let text = "there is no \(recipient.text) here; check the part before the @"
        return PolicyRefusal(Reply(550, EnhancedStatus(5, 1, 1), text), rule: "unknown-recipient")
    }

    private func routed(_ recipient: Address) -> PolicyRefusal {
        let text =
            "relaying denied: %, ! or @ in the part before the @ would route mail on; write to "
            + "the address itself"
        return PolicyRefusal(Reply(550, EnhancedStatus(5, 7, 1), text), rule: "routed-recipient")
    }
}

extension Address {
    var isPostmaster: Bool { plainLocalPart.asciiLowercased == "postmaster" }

    /// Hosts of old took `user%elsewhere@here`, `elsewhere!user@here` and `"user@elsewhere"@here`
    /// for mail to elsewhere (RFC 5321 §3.6.1 advises against all of it); a next host that still
    /// does would make open relays of both.
    fileprivate var mayRouteOn: Bool {
        plainLocalPart.utf8.contains {
            $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "!") || $0 == UInt8(ascii: "@")
        }
    }
}
