// What a listener does against clients that are no good ones, translated for ingress as
// RelaySettings.swift does with all the rest.

import EkidenConfiguration
import EkidenIngress

extension Configuration.Listener {
    func apply(to policy: inout ListenerPolicy) {
        if greetDelay > .zero {
            policy.greetDelay = GreetDelay(greetDelay, refuses: earlyTalker == .refuse)
        }
        policy.tarpit = tarpitAfter.map { Tarpit(freeErrors: $0, delay: tarpitDelay) }
    }
}
