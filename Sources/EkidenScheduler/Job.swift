// What passes between the scheduler and the composition that owns it: jobs and what came of them,
// sessions, effects.

import EkidenMail

/// One connection's task, from its start effect to `sessionEnded`. Never used again.
package struct SessionID: Sendable, Hashable {
    package let number: UInt64

    init(slot: UInt32, serial: UInt32) { number = UInt64(serial) << 32 | UInt64(slot) }
    var slot: UInt32 { UInt32(truncatingIfNeeded: number) }
    var serial: UInt32 { UInt32(number >> 32) }
}

/// One attempt in progress: the `attempt` of `inFlight(attempt)`. Never used again.
package struct JobID: Sendable, Hashable {
    package let number: UInt64

    init(slot: UInt32, serial: UInt32) { number = UInt64(serial) << 32 | UInt64(slot) }
    var slot: UInt32 { UInt32(truncatingIfNeeded: number) }
    var serial: UInt32 { UInt32(number >> 32) }
}

/// Who is to be delivered where. Addresses and sender stay in the spool's index, which has them
/// anyway; `deliveryJob` puts them in.
package struct Job: Sendable, Equatable {
    package let id: JobID
    package let message: QueueID
    /// Indices in the envelope's recipients; at least one.
    package let recipients: [Int]
    package let nextHop: NextHop
    /// Without exchanges when the next hop could not be resolved.
    package let site: Site
    /// Addresses that failed lately, longest ago first: to be tried after the others.
    package let avoid: [HostAddress]
    /// Many sites that have not answered want connections: a host that does not greet soon gives its to
    /// another.
    package let isHurried: Bool

    /// The whole job; nil when the message as given lacks one of the recipients.
    package func deliveryJob(of queued: QueuedMessage) -> DeliveryJob? {
        var jobRecipients: [JobRecipient] = []
        jobRecipients.reserveCapacity(recipients.count)
        for index in recipients {
            guard queued.recipients.indices.contains(index) else { return nil }
            let status = queued.recipients[index]
            jobRecipients.append(
                JobRecipient(
                    index: index,
                    address: status.address,
                    attemptsBefore: status.attempts
                )
            )
        }
        return DeliveryJob(
            message: message,
            sender: queued.sender,
            recipients: jobRecipients,
            nextHop: nextHop,
            site: site,
            arrived: queued.arrived,
            byteCount: queued.byteCount,
            hasDemands: queued.hasDemands
        )
    }
}

/// What becomes of one recipient after an attempt was judged.
package enum Disposition: Sendable, Equatable {
    /// Delivered, bounced, expired: no longer the scheduler's.
    case done
    /// Tried again after that time.
    case retry(after: Duration, because: Reason)
    /// Tried again at once, in another transaction (the peer takes fewer recipients at a time).
    case again
}

/// What a job says about the site it went to.
package enum SiteHealth: Sendable, Equatable {
    /// A host of the site answered.
    case alive
    /// A host answered, and said that we come too often or with too many connections.
    case crowded
    /// No host of the site could be talked to.
    case trouble(Failure)
    /// Nothing was learned (the fault was ours, or the job never got that far).
    case unknown
}

/// How a session's job ended.
package struct JobEnd: Sendable, Equatable {
    /// One for each recipient, in the job's order.
    package var dispositions: [Disposition]
    package var health: SiteHealth
    /// Addresses tried in vain.
    package var failedAddresses: [HostAddress]
    /// The address that answered.
    package var aliveAddress: HostAddress?

    package init(
        dispositions: [Disposition],
        health: SiteHealth,
        failedAddresses: [HostAddress] = [],
        aliveAddress: HostAddress? = nil
    ) {
        self.dispositions = dispositions
        self.health = health
        self.failedAddresses = failedAddresses
        self.aliveAddress = aliveAddress
    }
}

/// The answer to a session that asks what to do.
package enum Turn: Sendable, Equatable {
    case job(Job)
    /// Nothing now: keep the connection until woken or the idle time is over.
    case idle
    /// End the session: say QUIT, then `sessionEnded`.
    case end
}

/// What the composition is to do. Effects are taken in order, after each batch of calls.
package enum Effect: Sendable {
    /// Look up the next hop and come back with `resolved`.
    case resolve(NextHop)
    /// Start a session's task; it asks `nextJob`.
    case startSession(SessionID, Site)
    /// A parked session is to ask `nextJob` again.
    case wakeSession(SessionID)
    /// A parked session is to end.
    case endSession(SessionID)
    /// An attempt that failed without a connection: judge it, record it, come back with `settled`.
    case failed(Job, Failure)
    case event(Event)
}
