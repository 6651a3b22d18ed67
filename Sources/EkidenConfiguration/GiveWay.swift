// A default gives way to what the file says. Who sets `sites.connections_max = 2` alone means just
// that, and should not have to know that connections start at 5; only two settings that were both
// set can contradict each other, and that is `Check`'s business.

extension Configuration {
    /// Moves settings the file leaves alone as far as those it sets ask for.
    mutating func makeDefaultsGiveWay(_ loading: Loading) {
        func order<Value: Comparable>(
            _ low: (path: String, field: WritableKeyPath<Configuration, Value>),
            _ high: (path: String, field: WritableKeyPath<Configuration, Value>)
        ) {
            guard self[keyPath: low.field] > self[keyPath: high.field] else { return }
            if !loading.isSet(low.path) {
                self[keyPath: low.field] = self[keyPath: high.field]
            } else if !loading.isSet(high.path) {
                self[keyPath: high.field] = self[keyPath: low.field]
            }
        }
        order(
            ("sites.connections_min", \.sites.connectionsMin),
            ("sites.connections_max", \.sites.connectionsMax)
        )
        order(
            ("sites.connections_start", \.sites.connectionsStart),
            ("sites.connections_max", \.sites.connectionsMax)
        )
        order(
            ("sites.connections_min", \.sites.connectionsMin),
            ("sites.connections_start", \.sites.connectionsStart)
        )
        order(
            ("sites.connections_max", \.sites.connectionsMax),
            ("delivery.max_connections", \.delivery.maxConnections)
        )
        order(
            ("sites.connections_start", \.sites.connectionsStart),
            ("sites.connections_max", \.sites.connectionsMax)
        )
        order(
            ("sites.backoff_first", \.sites.backoffFirst),
            ("sites.backoff_ceiling", \.sites.backoffCeiling)
        )
        order(("retry.first", \.retry.first), ("retry.ceiling", \.retry.ceiling))
        order(("retry.first", \.retry.first), ("retry.lifetime", \.retry.lifetime))
        order(
            ("retry.null_sender_lifetime", \.retry.nullSenderLifetime),
            ("retry.lifetime", \.retry.lifetime)
        )
        order(("resolver.ttl_min", \.resolver.ttlMin), ("resolver.ttl_max", \.resolver.ttlMax))
        for index in listeners.indices
        where !loading.isSet("listener[\(index)].max_connections_per_client") {
            // A quarter, so that one client never takes all there are; a listener with a single
            // slot has nothing to divide.
            let share = max(1, listeners[index].maxConnections / 4)
            listeners[index].maxConnectionsPerClient =
                min(listeners[index].maxConnectionsPerClient, share)
        }
    }
}
