import EkidenMail
import EkidenSMTP

/// What delivery is told by the configuration.
package struct DeliverySettings: Sendable, Equatable {
    /// The argument of EHLO: a name that resolves to us (RFC 5321 §4.1.4).
    package var helo: String
    /// How long each step may take; RFC 5321 §4.5.3.2 gives the minima for clients.
    package var timeouts: ClientTimeouts
    /// Bounds an attempt up to the final dot; once that is out the peer's reply is waited for.
    package var attemptTime: Duration
    package var addressesPerAttempt: Int
    package var sessionsPerAttempt: Int
    package var messagesPerConnection: Int
    /// 8-bit content goes as 7-bit to hosts that take no other; else it goes to none of them.
    package var convertsEightBit = true
    package var source4: HostAddress?
    package var source6: HostAddress?
    /// For the sites of the operator's rules, by their names.
    package var rules: [String: ConnectionUse] = [:]

    /// How much a connection is used.
    package struct ConnectionUse: Sendable, Equatable {
        package var messages: Int
        /// nil: as long as there is mail for it.
        package var time: Duration?
        package init(messages: Int, time: Duration?) {
            self.messages = messages
            self.time = time
        }
    }

    /// For the mail of routes, by their names.
    package var identities: [String: Identity] = [:]

    /// Who we are to a peer: by name, and by the addresses we come from.
    package struct Identity: Sendable, Equatable {
        package var helo: String
        package var source4: HostAddress?
        package var source6: HostAddress?
        package init(helo: String, source4: HostAddress?, source6: HostAddress?) {
            self.helo = helo
            self.source4 = source4
            self.source6 = source6
        }
    }

    package func identity(for hop: NextHop) -> Identity {
        hop.route.flatMap { identities[$0] }
            ?? Identity(helo: helo, source4: source4, source6: source6)
    }

    func use(of rule: String?) -> ConnectionUse {
        if let rule, let own = rules[rule] { return own }
        return ConnectionUse(messages: messagesPerConnection, time: nil)
    }

    package init(
        helo: String,
        timeouts: ClientTimeouts = ClientTimeouts(),
        attemptTime: Duration = .seconds(300),
        addressesPerAttempt: Int = 5,
        sessionsPerAttempt: Int = 2,
        messagesPerConnection: Int = 1000,
        source4: HostAddress? = nil,
        source6: HostAddress? = nil
    ) {
        self.helo = helo
        self.timeouts = timeouts
        self.attemptTime = attemptTime
        self.addressesPerAttempt = addressesPerAttempt
        self.sessionsPerAttempt = sessionsPerAttempt
        self.messagesPerConnection = messagesPerConnection
        self.source4 = source4
        self.source6 = source6
    }
}
