// The answer to `ekiden status`: how the daemon is, in one row.

import EkidenMail

package struct StatusReport: ControlRow {
    package static let kind = "status"

    package struct Listener: Sendable, Equatable {
        package var name: String
        package var endpoint: String
        package var connections: Int
        package init(name: String, endpoint: String, connections: Int) {
            self.name = name
            self.endpoint = endpoint
            self.connections = connections
        }
    }

    /// Recipients by place, and messages in all.
    package struct Queue: Sendable, Equatable {
        package var messages = 0
        package var waiting = 0
        package var ready = 0
        package var inFlight = 0
        package var held = 0
        package var oldestAgeSeconds: Double?
        package init() {}
    }

    package struct Spool: Sendable, Equatable {
        package var directory = ""
        /// `healthy`, or what is wrong in one sentence.
        package var health = "healthy"
        package var usedBytes = 0
        package var liveBytes = 0
        package var freeBytes = 0
        package var segments = 0
        /// Mail is accepted; false while a guard or a fault says no.
        package var acceptsMail = true
        /// Expiry waits for the clock (`ekiden confirm-clock`).
        package var expiryPaused = false
        /// Mail is taken up to these, and as long as this much is left.
        package var messagesMax = 0
        package var bytesMax = 0
        package var freeBytesMin = 0
        package var freeInodesMin = 0
        package init() {}
    }

    package struct Resolver: Sendable, Equatable {
        package var servers: [String] = []
        package var queries = 0
        package var cacheHits = 0
        package var failures = 0
        package init() {}
    }

    /// Messages a second over the last minute.
    package struct Rates: Sendable, Equatable {
        package var accepted = 0.0
        package var delivered = 0.0
        package var deferred = 0.0
        package var bounced = 0.0
        package init() {}
    }

    package var version: String
    package var hostname: String
    package var pid: Int
    package var started: WallTime
    package var uptimeSeconds: Double
    package var configurationFile: String?
    /// `ok` or the first error; nil when never reloaded.
    package var lastReload: String?
    package var lastReloadAt: WallTime?
    /// Settings changed on disk that take effect with a restart.
    package var restartNeededFor: [String] = []
    package var loops: Int
    package var listeners: [Listener] = []
    package var queue = Queue()
    package var spool = Spool()
    package var resolver = Resolver()
    /// Those in use.
    package var certificates: [CertificateRow] = []
    /// Clients that may relay for a while (`ekiden allow`).
    package var allowances = 0
    package var rates = Rates()
    /// Those of which there were any, in the order of the classes.
    package var failures: [FailureCount] = []
    /// One for each listener, however many addresses it has.
    package var connections: [ConnectionLimits] = []
    /// In the order of the configuration.
    package var limits: [RateRow] = []
    /// nil: nobody may log in.
    package var logins: LoginLimits?
    /// Sessions of all listeners together that the process has descriptors for.
    package var sessionsMax: Int?
    /// The relay is stopping.
    package var isStopping = false

    package init(
        version: String,
        hostname: String,
        pid: Int,
        started: WallTime,
        loops: Int,
        now: WallTime
    ) {
        self.version = version
        self.hostname = hostname
        self.pid = pid
        self.started = started
        self.loops = loops
        uptimeSeconds = (now - started).inSeconds
    }

    package func write(_ w: inout JSONWriter) {
        w.field("version", version)
        w.field("hostname", hostname)
        w.field("pid", pid)
        w.field("started", started)
        w.field("uptime_seconds", seconds: uptimeSeconds)
        w.field("configuration_file", configurationFile)
        w.field("last_reload", lastReload)
        w.field("last_reload_at", lastReloadAt)
        w.field("restart_needed_for", restartNeededFor)
        w.field("loops", loops)
        w.field("stopping", isStopping)
        w.field("listeners", objects: listeners) { listener, w in
            w.field("name", listener.name)
            w.field("endpoint", listener.endpoint)
            w.field("connections", listener.connections)
        }
        w.field("queue", object: queue) { queue, w in
            w.field("messages", queue.messages)
            w.field("waiting", queue.waiting)
            w.field("ready", queue.ready)
            w.field("in_flight", queue.inFlight)
            w.field("held", queue.held)
            w.field("oldest_age_seconds", seconds: queue.oldestAgeSeconds)
        }
        w.field("spool", object: spool) { spool, w in
            w.field("directory", spool.directory)
            w.field("health", spool.health)
            w.field("used_bytes", spool.usedBytes)
            w.field("live_bytes", spool.liveBytes)
            w.field("free_bytes", spool.freeBytes)
            w.field("segments", spool.segments)
            w.field("accepts_mail", spool.acceptsMail)
            w.field("expiry_paused", spool.expiryPaused)
            w.field("max_messages", spool.messagesMax)
            w.field("max_bytes", spool.bytesMax)
            w.field("min_free_space", spool.freeBytesMin)
            w.field("min_free_inodes", spool.freeInodesMin)
        }
        w.field("resolver", object: resolver) { resolver, w in
            w.field("servers", resolver.servers)
            w.field("queries", resolver.queries)
            w.field("cache_hits", resolver.cacheHits)
            w.field("failures", resolver.failures)
        }
        w.field("certificates", objects: certificates) { row, w in row.write(&w) }
        w.field("allowances", allowances)
        w.field("rates_per_second", object: rates) { rates, w in
            w.field("accepted", seconds: rates.accepted)
            w.field("delivered", seconds: rates.delivered)
            w.field("deferred", seconds: rates.deferred)
            w.field("bounced", seconds: rates.bounced)
        }
        w.field("failures", objects: failures) { count, w in count.write(&w) }
        w.field("sessions_max", sessionsMax)
        w.field("connections", objects: connections) { limits, w in limits.write(&w) }
        w.field("limits", objects: limits) { limit, w in limit.write(&w) }
        if let logins { w.field("logins", object: logins) { logins, w in logins.write(&w) } }
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        version = try object.string("version")
        hostname = try object.string("hostname")
        pid = try object.integer("pid")
        started = try object.time("started")
        uptimeSeconds = try object.number("uptime_seconds")
        configurationFile = try object.optionalString("configuration_file")
        lastReload = try object.optionalString("last_reload")
        lastReloadAt = try object.optionalTime("last_reload_at")
        restartNeededFor = try object.strings("restart_needed_for")
        loops = try object.integer("loops")
        allowances = try object.optionalInteger("allowances") ?? 0
        isStopping = try object.flag("stopping")
        for listener in try object.objects("listeners") {
            listeners.append(
                Listener(
                    name: try listener.string("name"),
                    endpoint: try listener.string("endpoint"),
                    connections: try listener.integer("connections")
                )
            )
        }
        queue = try Queue(try object.single("queue"))
        spool = try Spool(try object.single("spool"))
        resolver = try Resolver(try object.single("resolver"))
        rates = try Rates(try object.single("rates_per_second"))
        for row in try object.objects("certificates") {
            certificates.append(try CertificateRow(row))
        }
        for count in try object.objects("failures") { failures.append(try FailureCount(count)) }
        sessionsMax = try object.optionalInteger("sessions_max")
        for limits in try object.objects("connections") {
            connections.append(try ConnectionLimits(limits))
        }
        for limit in try object.objects("limits") { limits.append(try RateRow(limit)) }
        if object["logins"] != nil { logins = try LoginLimits(try object.single("logins")) }
    }
}

extension StatusReport.Queue {
    fileprivate init(_ object: JSONObject) throws(JSONProblem) {
        messages = try object.integer("messages")
        waiting = try object.integer("waiting")
        ready = try object.integer("ready")
        inFlight = try object.integer("in_flight")
        held = try object.integer("held")
        oldestAgeSeconds = try object.optionalNumber("oldest_age_seconds")
    }
}

extension StatusReport.Spool {
    fileprivate init(_ object: JSONObject) throws(JSONProblem) {
        directory = try object.string("directory")
        health = try object.string("health")
        usedBytes = try object.integer("used_bytes")
        liveBytes = try object.integer("live_bytes")
        freeBytes = try object.integer("free_bytes")
        segments = try object.integer("segments")
        acceptsMail = try object.flag("accepts_mail")
        expiryPaused = try object.flag("expiry_paused")
        messagesMax = try object.integer("max_messages")
        bytesMax = try object.integer("max_bytes")
        freeBytesMin = try object.integer("min_free_space")
        freeInodesMin = try object.integer("min_free_inodes")
    }
}

extension StatusReport.Resolver {
    fileprivate init(_ object: JSONObject) throws(JSONProblem) {
        servers = try object.strings("servers")
        queries = try object.integer("queries")
        cacheHits = try object.integer("cache_hits")
        failures = try object.integer("failures")
    }
}

extension StatusReport.Rates {
    fileprivate init(_ object: JSONObject) throws(JSONProblem) {
        accepted = try object.number("accepted")
        delivered = try object.number("delivered")
        deferred = try object.number("deferred")
        bounced = try object.number("bounced")
    }
}

extension JSONObject {
    func single(_ name: String) throws(JSONProblem) -> JSONObject {
        guard case .object(let object) = self[name] else { throw .wrongType(name) }
        return object
    }
}
