// Sites with rules of the operator's: several domains as one, few connections, a rate.

import Foundation
import Testing

@Test func `domains whose hosts a rule has are one site, with its rate and its connections`()
    async throws
{
    let rule = """
        [[site]]
        name = "provider"
        hosts = [".test"]
        connections_max = 1
        rate = "2/s"
        burst = 1
        """
    try await story(more: rule) { stage in
        let hosts = try (10...11).map { number in
            stage.mail(for: "tenant\(number).test", to: number)
            return try stage.peer(number)
        }
        let began = Date()
        for number in 0..<6 {
            try stage.submit(to: "r\(number)@tenant\(10 + number % 2).test")
        }
        for host in hosts { try host.mail(3, within: 30) }
        // Each has its own hosts and so its own connections, one at a time; the first goes at once.
        #expect(Date().timeIntervalSince(began) >= 2.4)
        let sites = Set(stage.log("delivered").map { $0["site"] })
        #expect(sites == ["site:provider"])
    }
}

@Test func `a connection of a rule is used for so many messages`() async throws {
    let rule = """
        [[site]]
        name = "few"
        domains = ["example.test"]
        connections_max = 1
        messages_per_connection = 2
        """
    try await story(more: rule) { stage in
        let mx = try stage.host()
        for number in 0..<6 { try stage.submit(to: "r\(number)@example.test") }
        try mx.mail(6)
        #expect(mx.sessions == 3, "\(mx.sessions)")
    }
}
