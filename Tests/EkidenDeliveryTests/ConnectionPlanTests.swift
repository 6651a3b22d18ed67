import EkidenDelivery
import EkidenMail
import EkidenRuntime
import Synchronization
import Testing

/// Numbers that differ and repeat: enough to shuffle with.
private final class Draws: RandomSource {
    private let state: Mutex<UInt64>
    init(_ seed: UInt64) { state = Mutex(seed &* 0x9e37_79b9_7f4a_7c15 | 1) }
    func next() -> UInt64 {
        state.withLock {
            $0 ^= $0 << 13
            $0 ^= $0 >> 7
            $0 ^= $0 << 17
            return $0
        }
    }
}

private func address(_ last: UInt32) -> HostAddress { .v4(0xc000_0200 | last) }

private func exchange(_ preference: Int, _ name: String, port: UInt16 = 25) -> Exchange {
    Exchange(preference: preference, name: name, port: port)
}

/// Runs a plan with the addresses given per name; returns the addresses in the order tried.
private func order(
    _ exchanges: [Exchange],
    _ addresses: [String: [HostAddress]],
    dead: [HostAddress] = [],
    limit: Int = 5,
    seed: UInt64 = 1
) -> [HostAddress] {
    var plan = ConnectionPlan(
        site: Site(exchanges: exchanges),
        dead: dead,
        limit: limit,
        random: Draws(seed)
    )
    var tried: [HostAddress] = []
    while true {
        switch plan.next() {
        case .lookUp(let exchange):
            if let found = addresses[exchange.name] {
                plan.found(found, for: exchange)
            } else {
                plan.notFound(
                    Failure(
                        scope: .host,
                        isPermanent: true,
                        reason: .noAddress,
                        step: .resolve,
                        status: EnhancedStatus(5, 4, 4)
                    )
                )
            }
        case .connect(let candidate): tried.append(candidate.address ?? .v4(0))
        case .exhausted: return tried
        }
    }
}

@Suite struct ConnectionPlanTests {
    @Test func `hosts come by preference, and a host's addresses in the resolver's order`() {
        let tried = order(
            [exchange(20, "b"), exchange(10, "a")],
            ["a": [address(1), address(2)], "b": [address(3)]]
        )
        #expect(tried == [address(1), address(2), address(3)])
    }

    @Test func `equal preferences are shuffled, and only they`() {
        var firsts: Set<HostAddress> = []
        for seed in 1...64 {
            let tried = order(
                [exchange(10, "a"), exchange(10, "b"), exchange(20, "c")],
                ["a": [address(1)], "b": [address(2)], "c": [address(3)]],
                seed: UInt64(seed)
            )
            firsts.insert(tried[0])
            #expect(tried.count == 3 && tried[2] == address(3))
        }
        #expect(firsts == [address(1), address(2)])
    }

    @Test func `addresses that lately failed go last, but they go`() {
        let tried = order(
            [exchange(10, "a"), exchange(20, "b")],
            ["a": [address(1), address(2)], "b": [address(3)]],
            dead: [address(1), address(3)]
        )
        #expect(tried == [address(2), address(1), address(3)])
    }

    @Test func `an attempt tries at most its limit of addresses`() {
        let many = (1...9).map { address(UInt32($0)) }
        #expect(order([exchange(10, "a")], ["a": many]).count == 5)
    }

    @Test func `two names of one address and port are tried once`() {
        let tried = order(
            [exchange(10, "a"), exchange(20, "b"), exchange(30, "c", port: 2525)],
            ["a": [address(1)], "b": [address(1)], "c": [address(1)]]
        )
        #expect(tried == [address(1), address(1)])
    }

    @Test func `hosts without an address are passed over and remembered`() {
        var plan = ConnectionPlan(
            site: Site(exchanges: [exchange(10, "a")]),
            limit: 5,
            random: Draws(1)
        )
        #expect(plan.next() == .lookUp(exchange(10, "a")))
        plan.notFound(
            Failure(
                scope: .host,
                isPermanent: false,
                reason: .nameServerTimeout,
                step: .resolve,
                status: EnhancedStatus(4, 4, 3)
            )
        )
        #expect(plan.next() == .exhausted)
        #expect(plan.lookupFailures.map(\.reason) == [.nameServerTimeout])
    }
}
