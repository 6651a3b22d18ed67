// What delivery asks of the house behind it: jobs, names, bytes and judgement. The composition
// satisfies it with scheduler, resolver, spool and outcome; delivery knows none of them.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

/// What to do about a failure at one host, while other hosts may be left.
package enum HostAction: Sendable, Equatable {
    /// Try the next host with the recipients it concerns.
    case nextHost
    /// Leave it at this; the outcome is judged as it stands.
    case settle
}

/// Why nobody can log in: a sentence without a secret in it.
package struct LoginTrouble: Error, Sendable, Equatable {
    package let text: String
    package init(_ text: String) { self.text = text }
}

/// A job with what is known of its site's addresses.
package struct Assignment: Sendable {
    package let job: DeliveryJob
    /// Addresses that lately failed to connect; tried after the others.
    package let avoid: [HostAddress]
    /// Others want its connection: a host that does not greet soon is not waited for.
    package let isHurried: Bool

    package init(job: DeliveryJob, avoid: [HostAddress], isHurried: Bool = false) {
        self.job = job
        self.avoid = avoid
        self.isHurried = isHurried
    }
}

/// The house behind one session.
package protocol DeliveryDoor: Sendable {
    /// The next job of this session's site. With a connection to keep it waits for one for as long
    /// as a connection may idle; nil: there is none, or the relay stops, so say QUIT.
    func nextJob(isConnected: Bool) async -> Assignment?

    /// The bytes of a queued message.
    func content(of message: QueueID) async throws(ContentUnavailable) -> Content

    /// The addresses of a host, in the order to be tried.
    func addresses(of exchange: Exchange, until: Instant) async -> AddressResolution

    /// What TLS a connection to that host must have to carry that job.
    func tlsPolicy(of job: DeliveryJob, at exchange: Exchange) -> TLSPolicy

    /// Our side of a TLS session with that host. Errors: the sentence says what of ours is wrong.
    func tlsEngine(
        to exchange: Exchange,
        under policy: TLSPolicy
    ) throws(TLSFailure) -> any TLSEngine

    /// The next hop's route, as it is now, has that host; true where it has no route.
    func leads(_ nextHop: NextHop, to exchange: Exchange) -> Bool

    /// By which name and from which addresses we come.
    func identity(for nextHop: NextHop) -> DeliverySettings.Identity

    /// The name of the login for that next hop; nil where nobody asks.
    func loginName(for nextHop: NextHop) -> String?

    /// Who we are at that next hop; nil where nobody asks. Errors: the secret can't be had.
    func login(for nextHop: NextHop) async throws(LoginTrouble) -> ClientLogin?

    /// The same with another token than the one that was refused, to be tried at once; nil: there is
    /// none. Errors: as above.
    func login(
        for nextHop: NextHop,
        insteadOf refused: ClientLogin
    ) async throws(LoginTrouble) -> ClientLogin?

    /// SaltedPassword of RFC 5802 §3, which takes a while.
    func salted(_ password: [UInt8], _ question: ScramQuestion) async -> [UInt8]

    /// A handshake that policy does not insist on broke: mail goes to that host in the clear.
    func tlsBroke(at host: PeerHost, _ text: String)

    /// The policy table's word on a failure (docs/DELIVERY.md).
    func action(for failure: Failure, isLastHost: Bool) -> HostAction

    /// What a host refuses for good may be about the address we come from, and not about the mail.
    func mayBeAboutAddress(_ failure: Failure) -> Bool

    /// Some recipients of the job (their places in it, and a report on just these) have their
    /// result, and others are yet to be tried elsewhere, which may take long. Returns when it is
    /// recorded, as with `finished`: a delivery without its mark is one that a crash repeats.
    func settled(_ places: [Int], _ report: AttemptReport) async

    /// The job has ended; the report is on all its recipients, the settled ones included. Returns
    /// when its outcome is recorded, so that the session's next transaction never begins before
    /// (rule 3 of docs/ARCHITECTURE.md).
    func finished(_ report: AttemptReport) async
}
