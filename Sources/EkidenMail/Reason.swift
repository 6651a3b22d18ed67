/// Why something waits or moved. One closed set: the same word in code, log, command line and
/// tests; `sentence` says it to a person.
package enum Reason: String, Sendable, CaseIterable {
    // The normal course.
    case accepted
    case restarted
    case dueTimeReached = "due-time-reached"
    case resolving
    case resolved
    case delivered
    case siteBusy = "site-busy"
    case sitePaced = "site-paced"
    case streamPaced = "stream-paced"
    case siteSuspended = "site-suspended"
    case siteRecovered = "site-recovered"
    case groupParted = "group-parted"

    // The operator.
    case operatorHold = "operator-hold"
    case operatorRelease = "operator-release"
    case operatorRetry = "operator-retry"
    case operatorDelete = "operator-delete"

    // Names.
    case nameServerFailure = "name-server-failure"
    case nameServerTimeout = "name-server-timeout"
    case domainNotFound = "domain-not-found"
    case noAddress = "no-address"
    case nullExchange = "null-mx"
    case mailLoop = "mail-loop"

    // Connections.
    case connectionRefused = "connection-refused"
    case connectionTimedOut = "connection-timed-out"
    case hostUnreachable = "host-unreachable"
    case connectionLost = "connection-lost"
    case replyTimedOut = "reply-timed-out"
    case siteBackingOff = "site-backing-off"
    case protocolError = "protocol-error"
    case tlsUnavailable = "tls-unavailable"
    case tlsFailed = "tls-failed"
    case tlsUnverified = "tls-unverified"
    case loginUnavailable = "login-unavailable"
    case loginFailed = "login-failed"
    case routeRefused = "route-refused"

    // The peer's words.
    case greetingRefused = "greeting-refused"
    case peerDeferred = "peer-deferred"
    case peerRejected = "peer-rejected"
    case tooManyRecipients = "too-many-recipients"

    // The message.
    case eightBitUnsupported = "eight-bit-unsupported"
    case utf8Unsupported = "utf8-unsupported"
    case tlsRequired = "tls-required"
    case messageTooLarge = "message-too-large"
    case expired
    case tooManyHops = "too-many-hops"
    case damaged

    // The operator's routes.
    case routeBounces = "route-bounces"
    case routeDiscards = "route-discards"
    case routeHolds = "route-holds"
    case routeFallback = "route-fallback"
    case routeClosed = "route-closed"
    case routeOpened = "route-opened"

    // Ourselves.
    case spoolUnavailable = "spool-unavailable"
    case stopping
    case noRoute = "no-route"

    /// What a person reads beside the state.
    package var sentence: String {
        switch self {
        case .accepted: "new mail; its first attempt is due"
        case .restarted: "the relay started and took it up again"
        case .dueTimeReached: "its time to be tried came"
        case .resolving: "its next hop is being looked up"
        case .resolved: "its next hop is known"
        case .delivered: "the next hop accepted it"
        case .siteBusy: "all connections allowed to its next hop are in use"
        case .sitePaced: "its site's rate is used up for the moment"
        case .streamPaced: "its stream's rate is used up for the moment"
        case .siteSuspended: "an operator has suspended its site; ekiden resume lets it go"
        case .siteRecovered: "its next hop answers again"
        case .groupParted: "its recipients had different outcomes"
        case .operatorHold: "an operator holds it"
        case .operatorRelease: "an operator released it"
        case .operatorRetry: "an operator asked for a retry"
        case .operatorDelete: "an operator deleted it"
        case .nameServerFailure: "the name servers could not answer"
        case .nameServerTimeout: "the name servers did not answer in time"
        case .domainNotFound: "the domain does not exist"
        case .noAddress: "none of the hosts that it goes to has an address"
        case .nullExchange: "the domain says that it takes no mail (null MX)"
        case .mailLoop: "the best mail host of the domain is this relay itself"
        case .connectionRefused: "the host refused the connection"
        case .connectionTimedOut: "the host did not answer the connection in time"
        case .hostUnreachable: "the host can't be reached from here"
        case .connectionLost: "the connection broke"
        case .replyTimedOut: "the host did not reply in time"
        case .siteBackingOff: "its next hop failed lately and is left alone for a while"
        case .protocolError: "the host does not speak SMTP as it should"
        case .tlsUnavailable: "the host offers no TLS, which its policy asks for"
        case .tlsFailed: "the TLS handshake with the host failed"
        case .tlsUnverified: "the host's certificate is not one that its policy takes"
        case .loginUnavailable:
            "we can't log in there: no secret, no TLS, or no mechanism both sides know"
        case .routeRefused: "the route's host takes no mail from us, or not from that sender"
        case .loginFailed: "the host did not let us log in"
        case .greetingRefused: "the host refused us in its greeting"
        case .peerDeferred: "the host asked to try again later"
        case .peerRejected: "the host rejected it"
        case .tooManyRecipients: "the host takes fewer recipients at a time"
        case .eightBitUnsupported: "the host can't take 8-bit mail"
        case .utf8Unsupported: "the host takes no addresses beyond ASCII (SMTPUTF8)"
        case .tlsRequired: "its sender requires TLS, which can't be had there"
        case .messageTooLarge: "the host takes no message of this size"
        case .expired: "it could not be delivered within its lifetime"
        case .tooManyHops: "it passed through too many hosts; a mail loop"
        case .damaged: "its stored bytes are damaged"
        case .routeBounces: "a route of the configuration sends such mail back"
        case .routeDiscards: "a route of the configuration discards such mail"
        case .routeHolds: "a route of the configuration holds such mail for an operator"
        case .routeFallback: "its route failed too often; it goes by the fallback now"
        case .routeClosed: "its route is closed, and opens at its time or when an operator asks"
        case .routeOpened: "its route is open now"
        case .spoolUnavailable: "outcomes can't be recorded, so nothing is sent"
        case .stopping: "the relay is stopping"
        case .noRoute: "no route leads there"
        }
    }

    /// What is wrong is between us and a next hop of our own choosing, and ours to mend: a login, leave
    /// to relay. The next message would meet the same.
    package var isOursToMend: Bool {
        switch self {
        case .loginUnavailable, .loginFailed, .routeRefused: true
        default: false
        }
    }
}
