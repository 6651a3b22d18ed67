/// What kind of failure it was: for retry rules, the log and whoever counts. One closed set; which failure
/// is of which class says `EkidenOutcome/FailureClasses.swift`.
package enum FailureClass: String, Sendable, CaseIterable {
    /// Put off on purpose, as strangers are at first.
    case greylisted
    /// We come too often, or with too many connections.
    case rateLimited = "rate-limited"
    case mailboxFull = "mailbox-full"
    case unknownUser = "unknown-user"
    /// The domain takes no mail, or is not there.
    case badDomain = "bad-domain"
    /// Taken for spam, or its sender for a spammer: words, block lists, reputation.
    case spam
    /// The sender's domain does not vouch for it (SPF, DKIM, DMARC), or we lack a login.
    case authentication
    /// What the host says of its rules otherwise.
    case policy
    /// Its size, its characters, what is attached.
    case content
    /// It goes in a circle.
    case loop
    /// Name servers.
    case names
    /// Connections, hosts that don't answer or don't speak SMTP.
    case network
    case tls
    /// This relay itself, and what its operator has set.
    case ours
    case other
}
