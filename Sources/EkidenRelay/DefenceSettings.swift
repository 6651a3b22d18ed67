// What a listener does against clients that are no good ones, translated for ingress as
// RelaySettings.swift does with all the rest.

import EkidenConfiguration
import EkidenIngress
import EkidenMail

extension Configuration.Listener {
    func apply(to policy: inout ListenerPolicy) {
        if greetDelay > .zero {
            policy.greetDelay = GreetDelay(greetDelay, refuses: earlyTalker == .refuse)
        }
        policy.content.headerBytes = maxHeaderSize
        policy.content.headerFields = maxHeaderFields
        policy.content.headerFieldBytes = maxHeaderFieldSize
        policy.content.refusesEightBitHeaders = eightBitHeaders == .refuse
        policy.content.nuls =
            switch nul {
            case .keep: .keep
            case .strip: .strip
            case .refuse: .refuse
            }
        policy.connectionsPerNetwork = maxConnectionsPerNetwork
        policy.tarpit = tarpitAfter.map { Tarpit(freeErrors: $0, delay: tarpitDelay) }
    }
}

extension Configuration {
    /// All rate limits, in the order of the file.
    var rateLimits: [EkidenIngress.RateLimit] { rates.map { $0.asLimit } }

    /// Those that clients of that listener are under.
    func rateLimits(of listener: Listener) -> [EkidenIngress.RateLimit] {
        rates.filter { $0.listeners.isEmpty || $0.listeners.contains(listener.name) }
            .map { $0.asLimit }
    }
}

extension Configuration.RateLimit {
    fileprivate var asLimit: EkidenIngress.RateLimit {
        let event: EkidenIngress.RateLimit.Event =
            switch of {
            case .connections: .connections
            case .messages: .messages
            case .recipients: .recipients
            }
        let counter: EkidenIngress.RateLimit.Counter =
            switch per {
            case .client: .client
            case .network: .network
            case .user: .user
            case .sender: .sender
            }
        let rate = Rate(limit.count, per: limit.period, burst: burst)
        var made = EkidenIngress.RateLimit(name, of: event, per: counter, rate)
        made.prefixV4 = prefixIPv4
        made.prefixV6 = prefixIPv6
        made.exceptFor = exceptFor
        return made
    }
}
