// The decisions of a listener's policy, in the order a session comes to them. Pure: facts in, a
// verdict out. Each refusal has a rule of its own, and words that tell the sender what to do.

import EkidenMail
import EkidenSMTP

extension ListenerPolicy {
    /// The client may send to anywhere: for its network, or for the user it is.
    package func mayRelay(_ client: ClientStanding) -> Bool {
        client.isLoggedIn || mayRelay(client.address)
    }

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
        if rules.relayDomains.isEmpty || rules.relayDomains.match(recipient.domain) == nil {
            return mayRelay(client) ? nil : relayDenied(client)
        }
        // RFC 5321 §4.5.1: any system that relays mail takes it for the postmaster of its domains.
        if recipient.isPostmaster { return nil }
        if let list = rules.recipients?.current {
            // Nobody may send to who isn't there, lest a bounce tells it instead of a reply.
            return list.match(recipient) == nil ? unknown(recipient) : nil
        }
        return recipient.mayRouteOn && !mayRelay(client) ? routed(recipient) : nil
    }

    private func relayDenied(_ client: ClientStanding) -> PolicyRefusal {
        let text =
            "relaying denied: \(client.address.text) is not in a network this relay works for"
            + (session.auth == nil ? "" : ", and nobody is logged in")
        return PolicyRefusal(Reply(550, EnhancedStatus(5, 7, 1), text), rule: "relay-denied")
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
