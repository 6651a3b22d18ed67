// Rules between the settings of a listener against clients that are no good ones, and of the rate
// limits.

extension Check {
    static func rates(_ c: Configuration, _ loading: inout Loading) {
        for (index, rate) in c.rates.enumerated() {
            let path = "rate[\(index)]"
            if rate.of == .connections, rate.per == .user || rate.per == .sender {
                loading.error(
                    at: loading.position(of: path + ".per"),
                    "connections can't be counted per \(rate.per.rawValue), who is not known when "
                        + "one is opened; count them per client or network, or count messages"
                )
            }
            for name in rate.listeners where !c.listeners.contains(where: { $0.name == name }) {
                let known = c.listeners.map(\.name)
                loading.error(
                    at: loading.position(of: path + ".listeners"),
                    "there is no listener \"\(name)\""
                        + (Suggestion.nearest(to: name, among: known).map {
                            ", did you mean \"\($0)\"?"
                        } ?? "; the listeners are " + known.joined(separator: ", "))
                )
            }
            for setting in ["prefix_ipv4", "prefix_ipv6"]
            where rate.per != .network && loading.isSet("\(path).\(setting)") {
                loading.warning(
                    at: loading.position(of: "\(path).\(setting)"),
                    "rate.\(setting) has no effect on a limit per \(rate.per.rawValue); remove it"
                )
            }
        }
    }

    static func defences(
        _ listener: Configuration.Listener,
        _ path: String,
        _ loading: inout Loading
    ) {
        if listener.greetDelay == .zero, listener.earlyTalker == .log {
            loading.warning(
                at: loading.position(of: path + ".early_talker"),
                "listener.early_talker has no effect while the greeting is not kept back; set "
                    + "greet_delay, such as \"2s\""
            )
        }
        if let after = listener.tarpitAfter {
            if after + 1 >= listener.maxErrors {
                loading.warning(
                    at: loading.position(of: path + ".tarpit_after"),
                    "listener.tarpit_after (\(after)) has no effect, as max_errors "
                        + "(\(listener.maxErrors)) closes the session; lower it"
                )
            }
        } else if listener.tarpitDelay != Configuration.Listener().tarpitDelay {
            loading.warning(
                at: loading.position(of: path + ".tarpit_delay"),
                "listener.tarpit_delay has no effect without tarpit_after; set it, such as 5"
            )
        }
    }
}
