// Clients that speak before they are spoken to. A listener may keep its banner back for a while:
// who waits is a mail client, who doesn't is a program that throws its lines at any port. Called by
// `IngressSession` once the client is known and, where TLS begins at once, secured, so that neither a
// balancer's header nor a handshake is taken for speech.
// RFC 5321 §4.3.1: the client waits for the greeting; §4.5.3.2.1: for up to five minutes.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

/// How long a banner is kept back, and from whom something is heard before it.
package struct GreetDelay: Sendable, Equatable {
    package var time: Duration
    /// Who talks early is turned away; else told of in the log.
    package var refuses: Bool

    package init(_ time: Duration, refuses: Bool) {
        self.time = time
        self.refuses = refuses
    }
}

extension IngressSession {
    /// Keeps the banner back for as long as the listener has it; false when the client did not wait
    /// and the session is over. Clients we relay for, and peers that speak for others, don't wait.
    @inline(never)
    mutating func delayGreeting() async throws(IOFailure) -> Bool {
        guard let delay = greetDelay() else { return true }
        let end = connection.loop.now() + delay.time
        guard try await hears(until: end) else { return true }
        if delay.refuses {
            // RFC 5321 §3.1: 554 in place of 220. It would have us wait for QUIT; who throws lines
            // at ports says it unasked, and §7.8 lets a server defend itself.
            let text = "you spoke before the greeting; wait for it, then say EHLO"
            try await close(Reply(554, EnhancedStatus(5, 5, 1), text), rule: "early-talker")
            return false
        }
        noteEarlyTalker()
        try await hold(until: end)
        return true
    }

    @inline(never)
    private func greetDelay() -> GreetDelay? {
        let address = client.endpoint.address
        if policy.mayRelay(address) || policy.mayOverride(address) { return nil }
        return policy.greetDelay
    }

    @inline(never)
    private func noteEarlyTalker() {
        let text = "early-talker: \(client.endpoint.address.text) spoke before the greeting"
        events.emit(.notice(.init(.info, "listener", text)), at: connection.loop.wallNow())
    }

    /// True when the client says something before `end`.
    private mutating func hears(until end: Instant) async throws(IOFailure) -> Bool {
        if !connection.unread.isEmpty { return true }
        connection.setDeadline(end)
        do throws(IOFailure) {
            guard try await connection.fill() else { throw .lost }
            return true
        } catch {
            if error == .timedOut { return false }
            throw error
        }
    }
}
