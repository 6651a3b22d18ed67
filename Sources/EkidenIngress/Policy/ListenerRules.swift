// Whom and what a listener takes mail from and for, as data: made by the composition from the
// configuration, asked by `IngressSession` at each point where a client can be refused. The
// decisions themselves are in ListenerPolicy+Rules.swift; docs/POLICY.md says them in words.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

package struct ListenerRules: Sendable {
    /// Domains anybody may send to, because mail for them is ours to pass on.
    package var relayDomains = MailboxTable()
    /// Who there is in them; nil: that is for the next host to say.
    package var recipients: WatchedList?
    package var clientLists = AccessRules()
    package var senderLists = AccessRules()
    package var recipientLists = AccessRules()
    /// Users who may log in here, in lower case; empty: all of them. Never iterated.
    package var users: Set<String> = []
    /// Who may send from which address; nil: everybody from the own name alone.
    package var senders: WatchedList?
    package var senderOwnership = SenderOwnership.off
    /// Clients that may relay for a while.
    package var allowances: Allowances?
    package var helloCheck = HelloCheck.off
    package var reverseCheck = ReverseCheck.off
    /// This relay's names, in lower case.
    package var ownNames: [String] = []
    /// This machine's addresses.
    package var ownNetworks: [NetworkPrefix] = []

    package init() {}

    func admits(user: String) -> Bool { users.isEmpty || users.contains(user.asciiLowercased) }
}

/// A rule said no: what to answer, and what the log says of it.
package struct PolicyRefusal: Error, Sendable, Equatable {
    package let reply: Reply
    /// Name of the rule.
    package let rule: String
    /// The entry of a list that decided, with the list's name; for the log alone.
    package let entry: String?

    package init(_ reply: Reply, rule: String, entry: String? = nil) {
        self.reply = reply
        self.rule = rule
        self.entry = entry
    }
}

/// What rules know of the client that asks.
package struct ClientStanding: Sendable, Equatable {
    package var address: HostAddress
    /// It is a user: by a login, or by its certificate.
    package var isLoggedIn: Bool
    /// When it is, for what is allowed for a while.
    package var now: Instant

    package init(
        _ address: HostAddress,
        isLoggedIn: Bool = false,
        at now: Instant = Instant(nanoseconds: 0)
    ) {
        self.address = address
        self.isLoggedIn = isLoggedIn
        self.now = now
    }
}
