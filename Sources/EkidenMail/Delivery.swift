/// One recipient of a delivery job.
package struct JobRecipient: Sendable, Equatable {
    /// Index in the envelope's recipients.
    package let index: Int
    package let address: Address
    /// Attempts made before this one.
    package let attemptsBefore: Int

    package init(index: Int, address: Address, attemptsBefore: Int = 0) {
        self.index = index
        self.address = address
        self.attemptsBefore = attemptsBefore
    }
}

/// A message and those of its recipients that go to one site together: one transaction.
package struct DeliveryJob: Sendable {
    package let message: QueueID
    package let sender: ReversePath
    /// At least one; at most the configured recipients per transaction.
    package let recipients: [JobRecipient]
    package let nextHop: NextHop
    package let site: Site
    package let arrived: WallTime
    package let byteCount: Int
    /// The client asked for something; what, is in the content's `demands`.
    package let hasDemands: Bool

    package init(
        message: QueueID,
        sender: ReversePath,
        recipients: [JobRecipient],
        nextHop: NextHop,
        site: Site,
        arrived: WallTime,
        byteCount: Int,
        hasDemands: Bool = false
    ) {
        self.hasDemands = hasDemands
        self.message = message
        self.sender = sender
        self.recipients = recipients
        self.nextHop = nextHop
        self.site = site
        self.arrived = arrived
        self.byteCount = byteCount
    }
}

extension DeliveryJob {
    /// Its hosts come from a route, and not from a name server's answer.
    package var isRouted: Bool { if case .route = nextHop { true } else { false } }

    /// The same job with the recipients at these places alone.
    package func of(_ places: [Int]) -> DeliveryJob {
        DeliveryJob(
            message: message,
            sender: sender,
            recipients: places.map { recipients[$0] },
            nextHop: nextHop,
            site: site,
            arrived: arrived,
            byteCount: byteCount,
            hasDemands: hasDemands
        )
    }
}

/// What one attempt brought for one recipient.
package enum RecipientResult: Sendable, Equatable {
    case delivered(Reply)
    case failed(Failure)
}

/// What came of one job: a result for each of its recipients, and what was seen on the way.
package struct AttemptReport: Sendable, Equatable {
    /// Same order as the job's recipients.
    package var results: [RecipientResult]
    /// The host that gave the last answer; nil if none was reached.
    package var host: PeerHost?
    /// From the start of the job to a session ready for MAIL; zero for a reused connection.
    package var connectTime: Duration
    /// From MAIL to the last reply.
    package var transferTime: Duration
    /// The host that gave the last answer offers DSN (RFC 3461): what it took, it reports on.
    package var hostOffersDSN: Bool
    /// The host that gave the last answer got 8-bit content in 7 bits.
    package var isConverted = false
    /// What TLS the last connection had; nil: none.
    package var tls: TLSFacts?
    /// The peer answered at this site (any reply at all), so the site is alive.
    package var siteIsAlive: Bool
    /// Addresses tried without success in this attempt, so the next begins with others.
    package var failedAddresses: [HostAddress]
    /// The first word of each host that was not the last, where others were tried after it.
    package var earlier: [Failure] = []

    package init(
        results: [RecipientResult],
        host: PeerHost? = nil,
        hostOffersDSN: Bool = false,
        connectTime: Duration = .zero,
        transferTime: Duration = .zero,
        tls: TLSFacts? = nil,
        siteIsAlive: Bool = false,
        failedAddresses: [HostAddress] = []
    ) {
        self.results = results
        self.host = host
        self.hostOffersDSN = hostOffersDSN
        self.connectTime = connectTime
        self.transferTime = transferTime
        self.tls = tls
        self.siteIsAlive = siteIsAlive
        self.failedAddresses = failedAddresses
    }
}
