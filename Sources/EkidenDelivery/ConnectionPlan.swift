import EkidenMail
import EkidenRuntime

/// The order in which one attempt tries the addresses of a site.
///
/// Hosts by preference, equal preferences shuffled (RFC 5321 §5.1); a host's addresses are looked
/// up when its turn comes; addresses that lately failed to connect go last, so that every address
/// gets its turn and one dead MX never eats the attempt. At most `limit` addresses in all.
package struct ConnectionPlan {
    package struct Candidate: Sendable, Equatable {
        package let exchange: Exchange
        /// nil: the exchange is a socket of this machine.
        package let address: HostAddress?

        package var endpoint: Endpoint? { address.map { Endpoint($0, exchange.port) } }
        package var host: PeerHost { PeerHost(name: exchange.name, endpoint: endpoint) }
    }

    package enum Step: Equatable {
        /// Ask for the host's addresses, then call `found` or `notFound`.
        case lookUp(Exchange)
        case connect(Candidate)
        /// No address left, or the limit reached.
        case exhausted
    }

    private var exchanges: ArraySlice<Exchange>
    private var ready: [Candidate] = []
    private var postponed: [Candidate] = []
    private let dead: [HostAddress]
    private var seen: [Endpoint] = []
    private var addressesLeft: Int
    /// What an IPv6 address got refused may be taken over IPv4.
    private var isWithoutIPv6 = false
    /// Why hosts had no address, in the order they were asked.
    package private(set) var lookupFailures: [Failure] = []

    package init(
        site: Site,
        dead: [HostAddress] = [],
        limit: Int,
        random: any RandomSource
    ) {
        exchanges = Self.ordered(site.exchanges, random)[...]
        self.dead = dead
        addressesLeft = limit
    }

    /// The next thing to do. `connect` counts against the limit.
    package mutating func next() -> Step {
        if addressesLeft == 0 { return .exhausted }
        if let candidate = takeReady() { return .connect(candidate) }
        if let exchange = exchanges.popFirst() {
            if exchange.socketPath != nil {
                addressesLeft -= 1
                return .connect(Candidate(exchange: exchange, address: nil))
            }
            guard let literal = exchange.literal else { return .lookUp(exchange) }
            found([literal], for: exchange)
            return next()
        }
        guard !postponed.isEmpty else { return .exhausted }
        addressesLeft -= 1
        return .connect(postponed.removeFirst())
    }

    package mutating func found(_ addresses: [HostAddress], for exchange: Exchange) {
        for address in addresses where address.isV4 || !isWithoutIPv6 {
            let candidate = Candidate(exchange: exchange, address: address)
            let endpoint = Endpoint(address, exchange.port)
            // Two names of one machine are one address to try.
            if seen.contains(endpoint) { continue }
            seen.append(endpoint)
            if dead.contains(address) {
                postponed.append(candidate)
            } else {
                ready.append(candidate)
            }
        }
    }

    // MARK: Two families

    /// Takes the host's next address of the other family, to be asked beside that one; nil: there is
    /// none, or the limit is reached.
    package mutating func takeRival(of candidate: Candidate) -> Candidate? {
        guard addressesLeft > 0, let address = candidate.address,
            let place = ready.firstIndex(where: {
                $0.exchange == candidate.exchange && $0.address?.isV4 == !address.isV4
            })
        else { return nil }
        addressesLeft -= 1
        return ready.remove(at: place)
    }

    /// It was not needed, or did not answer before the other: it may be tried after the others.
    package mutating func putBack(_ candidate: Candidate) {
        addressesLeft += 1
        ready.append(candidate)
    }

    package var mayHaveIPv4: Bool {
        (ready + postponed).contains { $0.address?.isV4 == true } || !exchanges.isEmpty
    }

    /// From now on; one address more may be tried then. False: it was so already.
    package mutating func leaveOutIPv6() -> Bool {
        if isWithoutIPv6 { return false }
        isWithoutIPv6 = true
        addressesLeft = max(addressesLeft, 1)
        ready.removeAll { $0.address?.isV4 == false }
        postponed.removeAll { $0.address?.isV4 == false }
        return true
    }

    package mutating func notFound(_ failure: Failure) { lookupFailures.append(failure) }

    /// True when `next` could still give an address, as far as is known without asking.
    package var mayHaveMore: Bool {
        addressesLeft > 0 && !(ready.isEmpty && postponed.isEmpty && exchanges.isEmpty)
    }

    private mutating func takeReady() -> Candidate? {
        guard !ready.isEmpty else { return nil }
        addressesLeft -= 1
        return ready.removeFirst()
    }

    private static func ordered(_ exchanges: [Exchange], _ random: any RandomSource) -> [Exchange] {
        // A random key per host; sorting by (preference, key) shuffles equal preferences.
        // Hosts of a route have preferences of their own, so their order stays.
        exchanges.map { ($0, random.next()) }
            .sorted { ($0.0.preference, $0.1) < ($1.0.preference, $1.1) }
            .map(\.0)
    }
}
