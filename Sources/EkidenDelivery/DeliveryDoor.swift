// What delivery asks of the house behind it: jobs, names, bytes and judgement. The composition
// satisfies it with scheduler, resolver, spool and outcome; delivery knows none of them.

import EkidenMail
import EkidenRuntime

/// What to do about a failure at one host, while other hosts may be left.
package enum HostAction: Sendable, Equatable {
    /// Try the next host with the recipients it concerns.
    case nextHost
    /// Leave it at this; the outcome is judged as it stands.
    case settle
}

package protocol DeliveryDoor: Sendable {
    /// The next job of this session's site, after waiting for one as long as a connection may idle;
    /// nil: there is none, or the relay stops; say QUIT.
    func nextJob(_ session: Int, isConnected: Bool) async -> DeliveryJob?

    /// The bytes of a queued message.
    func content(of message: QueueID) async throws(ContentUnavailable) -> Content

    /// The addresses of a host, in the order to be tried.
    func addresses(of exchange: Exchange, until: Instant) async -> AddressResolution

    /// Addresses of the site that lately failed to connect; tried last.
    func deadAddresses(_ session: Int) async -> [HostAddress]

    /// The policy table's word on a failure (DESIGN §7).
    func action(for failure: Failure, isLastHost: Bool) -> HostAction

    /// The job has ended. Returns when its outcome is recorded, so that the session's next
    /// transaction never begins before (DESIGN promise 3).
    func finished(_ session: Int, _ job: DeliveryJob, _ report: AttemptReport) async

    /// The session has ended and its connection is closed.
    func ended(_ session: Int)
}
