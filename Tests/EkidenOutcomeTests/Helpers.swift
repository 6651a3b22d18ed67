import EkidenMail

@testable import EkidenOutcome

let host = PeerHost(
    name: "mx.example.net",
    endpoint: Endpoint(.v4(0xc000_0207), 25)
)

func failure(
    _ scope: Failure.Scope,
    permanent: Bool,
    _ reason: Reason = .peerDeferred,
    step: DeliveryStep = .recipient,
    reply: Reply? = nil,
    host: PeerHost? = host,
    status: EnhancedStatus? = nil
) -> Failure {
    Failure(
        scope: scope,
        isPermanent: permanent,
        reason: reason,
        step: step,
        host: host,
        reply: reply,
        status: status ?? reply?.status ?? EnhancedStatus(permanent ? 5 : 4, 0, 0)
    )
}

let noSuchUser = failure(
    .recipient,
    permanent: true,
    .peerRejected,
    reply: Reply(550, EnhancedStatus(5, 1, 1), "no such user")
)
let tryLater = failure(
    .recipient,
    permanent: false,
    .peerDeferred,
    reply: Reply(451, EnhancedStatus(4, 2, 0), "try later")
)
let accepted = RecipientResult.delivered(Reply(250, EnhancedStatus(2, 0, 0), "queued as 7"))

let epoch = WallTime(seconds: 1_795_226_878)  // Sat, 21 Nov 2026 02:07:58 +0000

func judgement(
    _ results: [RecipientResult],
    sender: ReversePath = .address(mailbox("from@example.org")),
    attempts: Int = 0,
    noticed: Bool = false,
    age: Duration = .seconds(10),
    draw: Double = 0.5,
    alive: Bool = true,
    paused: Bool = false,
    change: (inout RetrySettings) -> Void = { _ in }
) -> Judgement {
    var settings = RetrySettings()
    change(&settings)
    let addresses = results.indices.map { mailbox("r\($0)@example.net") }
    return Judgement(
        job: DeliveryJob(
            message: QueueID(number: 77),
            sender: sender,
            recipients: addresses.enumerated().map {
                JobRecipient(index: $0, address: $1, attemptsBefore: attempts)
            },
            nextHop: .domain(Domain("example.net")),
            site: Site(exchanges: [Exchange(preference: 1, name: "mx.example.net")]),
            arrived: epoch,
            byteCount: 100
        ),
        report: AttemptReport(results: results, host: host, siteIsAlive: alive),
        statuses: addresses.map {
            RecipientStatus(address: $0, attempts: attempts, delayNoticeSent: noticed)
        },
        settings: settings,
        now: epoch + age,
        expiryIsPaused: paused,
        draw: draw
    )
}

extension Verdict {
    var attempts: [Event.Attempt] {
        events.compactMap { if case .attempt(let a) = $0 { a } else { nil } }
    }
    var notices: [Event.Notice] {
        events.compactMap { if case .notice(let n) = $0 { n } else { nil } }
    }
}

/// An address that is known to be well formed.
func mailbox(_ text: String) -> Address {
    guard let address = Address(text) else { preconditionFailure("\(text) is no address") }
    return address
}
