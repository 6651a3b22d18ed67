// What `ekiden status` says of limits: of each listener's connections, of rates, and of logins.

/// A client, a network, a user or a sender, and how much of a limit is used.
package struct LimitUse: Sendable, Equatable {
    package var who: String
    package var used: Int

    package init(who: String, used: Int) {
        self.who = who
        self.used = used
    }

    func write(_ w: inout JSONWriter) {
        w.field("who", who)
        w.field("used", used)
    }

    init(_ object: JSONObject) throws(JSONProblem) {
        who = try object.string("who")
        used = try object.integer("used")
    }

    static func list(_ object: JSONObject, _ name: String) throws(JSONProblem) -> [LimitUse] {
        var uses: [LimitUse] = []
        for use in try object.objects(name) { uses.append(try LimitUse(use)) }
        return uses
    }
}

/// A listener's connections against their limits.
package struct ConnectionLimits: Sendable, Equatable {
    package var name: String
    package var connections: Int
    package var limit: Int
    package var perClient: Int
    /// nil: networks are not limited.
    package var perNetwork: Int?
    /// Those with the most connections, the most first.
    package var clients: [LimitUse] = []
    package var networks: [LimitUse] = []
    package var session = SessionLimits()

    package init(name: String, connections: Int, limit: Int, perClient: Int, perNetwork: Int?) {
        self.name = name
        self.connections = connections
        self.limit = limit
        self.perClient = perClient
        self.perNetwork = perNetwork
    }

    func write(_ w: inout JSONWriter) {
        w.field("name", name)
        w.field("connections", connections)
        w.field("limit", limit)
        w.field("limit_per_client", perClient)
        w.field("limit_per_network", perNetwork)
        w.field("clients", objects: clients) { use, w in use.write(&w) }
        w.field("networks", objects: networks) { use, w in use.write(&w) }
        w.field("session", object: session) { session, w in session.write(&w) }
    }

    init(_ object: JSONObject) throws(JSONProblem) {
        name = try object.string("name")
        connections = try object.integer("connections")
        limit = try object.integer("limit")
        perClient = try object.integer("limit_per_client")
        perNetwork = try object.optionalInteger("limit_per_network")
        clients = try LimitUse.list(object, "clients")
        networks = try LimitUse.list(object, "networks")
        session = try SessionLimits(try object.single("session"))
    }
}

/// What one session of a listener may use up, and one message of it. Times in seconds.
package struct SessionLimits: Sendable, Equatable {
    package var errors = 0
    package var commands = 0
    package var commandSeconds = 0.0
    /// nil: replies to errors come at once, to the last.
    package var errorsBeforeTarpit: Int?
    package var tarpitSeconds = 0.0
    package var greetSeconds = 0.0
    package var recipients = 0
    /// nil: messages of any size.
    package var messageBytes: Int?
    package var headerBytes = 0
    package var headerFields = 0
    package var headerFieldBytes = 0
    package var receivedFields = 0
    package var dataBlockSeconds = 0.0
    package var messageSeconds = 0.0

    package init() {}

    func write(_ w: inout JSONWriter) {
        w.field("max_errors", errors)
        w.field("max_commands", commands)
        w.field("command_timeout", seconds: commandSeconds)
        w.field("tarpit_after", errorsBeforeTarpit)
        w.field("tarpit_delay", seconds: tarpitSeconds)
        w.field("greet_delay", seconds: greetSeconds)
        w.field("max_recipients", recipients)
        w.field("max_message_size", messageBytes)
        w.field("max_header_size", headerBytes)
        w.field("max_header_fields", headerFields)
        w.field("max_header_field_size", headerFieldBytes)
        w.field("max_received", receivedFields)
        w.field("data_block_timeout", seconds: dataBlockSeconds)
        w.field("message_timeout", seconds: messageSeconds)
    }

    init(_ object: JSONObject) throws(JSONProblem) {
        errors = try object.integer("max_errors")
        commands = try object.integer("max_commands")
        commandSeconds = try object.number("command_timeout")
        errorsBeforeTarpit = try object.optionalInteger("tarpit_after")
        tarpitSeconds = try object.number("tarpit_delay")
        greetSeconds = try object.number("greet_delay")
        recipients = try object.integer("max_recipients")
        messageBytes = try object.optionalInteger("max_message_size")
        headerBytes = try object.integer("max_header_size")
        headerFields = try object.integer("max_header_fields")
        headerFieldBytes = try object.integer("max_header_field_size")
        receivedFields = try object.integer("max_received")
        dataBlockSeconds = try object.number("data_block_timeout")
        messageSeconds = try object.number("message_timeout")
    }
}

/// A [[rate]], and who stands nearest to it.
package struct RateRow: Sendable, Equatable {
    package var name: String
    /// `messages`
    package var of: String
    /// `client`
    package var per: String
    /// `60/m`
    package var rate: String
    package var burst: Int
    /// Of those it counts, how many have spent something that has not come back.
    package var counted: Int
    /// Refused since it came to be.
    package var refused: Int
    /// Tokens spent, the most first.
    package var first: [LimitUse] = []

    package init(
        name: String,
        of event: String,
        per counter: String,
        rate: String,
        burst: Int,
        counted: Int,
        refused: Int
    ) {
        self.name = name
        of = event
        per = counter
        self.rate = rate
        self.burst = burst
        self.counted = counted
        self.refused = refused
    }

    func write(_ w: inout JSONWriter) {
        w.field("name", name)
        w.field("of", of)
        w.field("per", per)
        w.field("rate", rate)
        w.field("burst", burst)
        w.field("counted", counted)
        w.field("refused", refused)
        w.field("first", objects: first) { use, w in use.write(&w) }
    }

    init(_ object: JSONObject) throws(JSONProblem) {
        name = try object.string("name")
        of = try object.string("of")
        per = try object.string("per")
        rate = try object.string("rate")
        burst = try object.integer("burst")
        counted = try object.integer("counted")
        refused = try object.integer("refused")
        first = try LimitUse.list(object, "first")
    }
}

/// Who may log in, and who may not for the moment.
package struct LoginLimits: Sendable, Equatable {
    package var users = 0
    package var lockedClients = 0
    package var lockedUsers = 0
    /// Failures within `windowSeconds` that lock somebody out for `lockoutSeconds`.
    package var failures = 0
    package var windowSeconds = 0.0
    package var lockoutSeconds = 0.0

    package init() {}

    func write(_ w: inout JSONWriter) {
        w.field("users", users)
        w.field("locked_out_clients", lockedClients)
        w.field("locked_out_users", lockedUsers)
        w.field("max_failures", failures)
        w.field("failure_time", seconds: windowSeconds)
        w.field("lockout_time", seconds: lockoutSeconds)
    }

    init(_ object: JSONObject) throws(JSONProblem) {
        users = try object.integer("users")
        lockedClients = try object.integer("locked_out_clients")
        lockedUsers = try object.integer("locked_out_users")
        failures = try object.integer("max_failures")
        windowSeconds = try object.number("failure_time")
        lockoutSeconds = try object.number("lockout_time")
    }
}
