// What resolv.conf(5) says, as far as it concerns a mail relay: which name servers, how patient,
// how often, whether in turn. Search lists are for people who type short names; mail has none.

import EkidenMail
import EkidenRuntime

/// Which servers to ask, and how.
struct ServerPlan: Sendable, Equatable {
    /// In the order to be asked.
    var servers: [Endpoint]
    /// For the first answer of one server; doubles with each round.
    var timeout: Duration
    /// Rounds over all servers.
    var attempts: Int
    /// Each question begins with another server.
    var rotates: Bool

    static let timeout = Duration.seconds(2)
    static let attempts = 3
}

enum ResolverFile {
    /// Servers of a file that are used; the C library uses three (MAXNS).
    static let serversMax = 3
    static let bytesMax = 65_536
    private static let port: UInt16 = 53

    /// Reads the bytes of the file. What does not fit is passed over. Without any server the local
    /// machine is asked, as resolv.conf(5) says.
    static func parse(_ text: [UInt8]) -> ServerPlan {
        var plan = ServerPlan(
            servers: [],
            timeout: ServerPlan.timeout,
            attempts: ServerPlan.attempts,
            rotates: false
        )
        for line in text.split(whereSeparator: { $0 == 0x0a || $0 == 0x0d }) {
            let words = line.split { $0 == 0x20 || $0 == 0x09 }
                .map { String(decoding: $0, as: UTF8.self) }
            switch words.first {
            case "nameserver":
                guard words.count > 1, let server = server(words[1]),
                    plan.servers.count < serversMax, !plan.servers.contains(server)
                else { continue }
                plan.servers.append(server)
            case "options":
                for option in words.dropFirst() { apply(option, to: &plan) }
            default: continue
            }
        }
        if plan.servers.isEmpty { plan.servers = [Endpoint(.loopback4, port)] }
        return plan
    }

    private static func server(_ text: String) -> Endpoint? {
        // A zone (`%eth0`) says nothing to a routed address; an address that needs one can't be
        // used without it.
        let bare = text.prefix { $0 != "%" }
        guard let address = HostAddress(bare), !address.isUnspecified else { return nil }
        if case .v6(let high, _) = address, high >> 54 == 0xfe80 >> 6 { return nil }
        return Endpoint(address, port)
    }

    private static func apply(_ option: String, to plan: inout ServerPlan) {
        let parts = option.split(separator: ":", maxSplits: 1)
        guard let name = parts.first else { return }
        let number = parts.count == 2 ? Int(parts[1]) : nil
        switch (name, number) {
        // The bounds are those of resolv.conf(5).
        case ("timeout", let seconds?) where seconds > 0:
            plan.timeout = .seconds(min(seconds, 30))
        case ("attempts", let attempts?) where attempts > 0: plan.attempts = min(attempts, 5)
        case ("rotate", nil): plan.rotates = true
        default: return
        }
    }
}
