// What a reload may change. The running relay takes the new values of all settings but those whose
// rows say that they need a restart; those stay as they are, and the operator is told which.

extension Configuration {
    /// Paths of the settings that differ from `old` and need a restart: `spool.directory`,
    /// `listener.relay.listen`, or `listener.new` for one that came or went.
    package func restartOnlyChanges(from old: Configuration) -> [String] {
        Schema.sections.flatMap { $0.restartOnlyChanges(old, self) }
    }

    /// This configuration as far as it can take effect in a relay that was started with `running`.
    package func keepingRestartOnly(of running: Configuration) -> Configuration {
        var result = self
        for section in Schema.sections { section.keepRestartOnly(running, &result) }
        return result
    }
}
