// Rules between the settings of a listener against clients that are no good ones.

extension Check {
    static func defences(
        _ listener: Configuration.Listener,
        _ path: String,
        _ loading: inout Loading
    ) {
        if listener.greetDelay == .zero, loading.isSet(path + ".early_talker") {
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
        } else if loading.isSet(path + ".tarpit_delay") {
            loading.warning(
                at: loading.position(of: path + ".tarpit_delay"),
                "listener.tarpit_delay has no effect without tarpit_after; set it, such as 5"
            )
        }
    }
}
