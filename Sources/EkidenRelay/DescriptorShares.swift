// Who may have how many of the process's descriptors. Each listener and the deliveries have limits of
// their own in the configuration; where the system allows fewer descriptors than their sum, both are
// cut here, so that a crowd at the door never takes those of the spool, of deliveries and of the
// operator (`docs/ARCHITECTURE.md`, rule 7).

import EkidenConfiguration

struct DescriptorShares: Sendable, Equatable {
    /// Sessions of clients, over all listeners.
    let sessionsMax: Int
    /// Of them those of one client, whatever listeners grant it: where there are fewer than that, it
    /// leaves a quarter to others.
    let sessionsPerClientMax: Int
    /// Connections to next hops.
    let deliveriesMax: Int
    /// What an operator should know: there are fewer than the configuration would use.
    let shortage: String?

    /// Loops, log, listeners, segments, name look-ups, the command line's connections.
    private static let own = 32
    /// Each large message on its way in or out has a file open, for a while.
    private static let filesShare = 4

    init(of descriptors: Int, _ configuration: Configuration) {
        let sessions = configuration.listeners.reduce(0) { $0 + $1.maxConnections }
        let deliveries = configuration.delivery.maxConnections
        let listening = configuration.listeners.reduce(0) { $0 + $1.listen.count }
        let left = max(0, descriptors - Self.own - listening)
        let connections = left - left / Self.filesShare
        guard sessions + deliveries > connections else {
            sessionsMax = sessions
            sessionsPerClientMax = sessions
            deliveriesMax = deliveries
            shortage = nil
            return
        }
        // A third for the way out, but what one side leaves the other has.
        let out = min(deliveries, max(connections / 3, connections - sessions, 1))
        let inbound = min(sessions, max(connections - out, 1))
        sessionsMax = inbound
        sessionsPerClientMax = max(1, inbound - inbound / 4)
        deliveriesMax = out
        shortage =
            "only \(descriptors) files may be open, so at most \(inbound) clients are served and "
            + "\(out) connections made at a time; raise the system's limit or limits.open_files"
    }
}
