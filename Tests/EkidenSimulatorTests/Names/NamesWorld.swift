// A simulated world with name servers and the production resolver in front of them, for the tests
// of this folder.

import EkidenMail
import EkidenResolver
import EkidenRuntime

@testable import EkidenSimulator

/// `@unchecked Sendable`: used on the test's own thread, which is the world's.
final class NamesWorld: @unchecked Sendable {
    let world: SimWorld
    let names: SimNames
    let resolver: Resolver
    /// What the name servers noted, with the time.
    private(set) var trace: [String] = []

    init(
        seed: UInt64 = 1,
        loopCount: Int = 1,
        cacheEntries: Int = 512,
        _ change: (inout ResolverSettings) -> Void = { _ in }
    ) {
        world = SimWorld(seed: seed, loopCount: loopCount)
        names = SimNames(world: world, random: SimRandom(seed: seed &+ 1000))
        var settings = ResolverSettings()
        change(&settings)
        resolver = Resolver(
            transport: names,
            random: world.random,
            settings: settings,
            cacheEntries: cacheEntries
        )
        names.noted = { [unowned self] line in
            trace.append("\(world.instant.nanoseconds) \(line)")
        }
    }

    func forgetTrace() { trace = [] }

    func resolve(_ domain: String, within time: Duration = .seconds(60)) throws -> Resolution {
        try world.run { [resolver, world] in
            await resolver.resolve(
                .domain(Domain(domain)),
                on: world.loops[0],
                until: world.instant + time
            )
        }
    }

    func addresses(of host: String) throws -> AddressResolution {
        try world.run { [resolver, world] in
            await resolver.addresses(
                of: Exchange(preference: 0, name: host),
                on: world.loops[0],
                until: world.instant + .seconds(60)
            )
        }
    }

    /// One question straight to the name servers.
    func ask(
        _ name: String,
        _ type: UInt16,
        within time: Duration = .seconds(60)
    ) throws -> Result<[UInt8], NameTransportFailure> {
        try world.run { [names, world] in
            do throws(NameTransportFailure) {
                let question = NameQuestion(name: name, type: type)
                let deadline = world.instant + time
                return .success(
                    try await names.ask(question, on: world.loops[0], until: deadline)
                )
            } catch {
                return .failure(error)
            }
        }
    }

    /// Two mail hosts with addresses for `domain`, as most tests have them.
    func addGoodDomain(_ domain: String) {
        names.zones.setMX(domain, [(20, "mx2.\(domain)"), (10, "mx1.\(domain)")])
        names.zones.setAddresses("mx1.\(domain)", [address("192.0.2.1"), address("2001:db8::1")])
        names.zones.setAddresses("mx2.\(domain)", [address("192.0.2.2")])
    }
}

func address(_ text: String) -> HostAddress {
    guard let address = HostAddress(text) else { preconditionFailure("not an address: \(text)") }
    return address
}

extension Resolution {
    /// Hosts in order, or the failure: "mx1.test mx2.test", "permanent null-mx 5.1.10".
    var brief: String {
        switch self {
        case .site(let site, _): site.exchanges.map(\.name).joined(separator: " ")
        case .failure(let failure): failure.brief
        }
    }

    var failure: Failure? { if case .failure(let failure) = self { failure } else { nil } }
}

extension AddressResolution {
    /// Addresses in an order of their own, or the failure.
    var brief: String {
        switch self {
        case .addresses(let addresses): addresses.sorted().map(\.text).joined(separator: " ")
        case .failure(let failure): failure.brief
        }
    }
}

extension Failure {
    var brief: String {
        "\(isPermanent ? "permanent" : "temporary") \(reason.rawValue) \(status.text)"
    }
}
