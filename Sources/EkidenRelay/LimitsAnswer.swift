// What `ekiden status` says of limits and of who stands at them.

import EkidenControl
import EkidenIngress
import EkidenMail
import EkidenRuntime

extension Relay {
    /// Clients, networks, users or senders named for each limit.
    private static let places = 5

    func reportLimits(in report: inout StatusReport) {
        let now = house.owner.now()
        let sessions = house.settings.descriptors.sessionsMax
        report.sessionsMax = sessions == .max ? nil : sessions
        for listener in listeners
        where !report.connections.contains(where: { $0.name == listener.name }) {
            let ledger = listener.ledger
            let policy = listener.currentPolicy
            var limits = ConnectionLimits(
                name: listener.name,
                connections: ledger.total,
                limit: policy.connections,
                perClient: policy.connectionsPerClient,
                perNetwork: policy.connectionsPerNetwork
            )
            limits.clients = ledger.fullestClients(Self.places).map(LimitUse.init)
            limits.networks = ledger.fullestNetworks(Self.places).map(LimitUse.init)
            limits.session = SessionLimits(policy)
            report.connections.append(limits)
        }
        report.limits = crew.rates.standings(at: now, places: Self.places).map { standing in
            var row = RateRow(
                name: standing.limit.name,
                of: standing.limit.of.rawValue,
                per: standing.limit.per.rawValue,
                rate: standing.limit.rate.text,
                burst: standing.limit.rate.burst,
                counted: standing.counted,
                refused: standing.refused
            )
            row.first = standing.first.map { LimitUse(who: $0.who, used: $0.spent) }
            return row
        }
        guard house.settings.configuration.auth.users != nil else { return }
        let locked = users.logins.lockouts(at: now)
        var logins = LoginLimits()
        logins.users = users.logins.userCount
        logins.lockedClients = locked.clients
        logins.lockedUsers = locked.users
        let lockout = LockoutSettings(house.settings.configuration.auth)
        logins.failures = lockout.failures
        logins.windowSeconds = lockout.window.inSeconds
        logins.lockoutSeconds = lockout.lockout.inSeconds
        report.logins = logins
    }
}

extension LimitUse {
    fileprivate init(_ crowd: ConnectionLedger.Crowd) {
        self.init(who: crowd.who, used: crowd.connections)
    }
}

extension SessionLimits {
    fileprivate init(_ policy: ListenerPolicy) {
        self.init()
        errors = policy.session.errors
        commands = policy.session.commands
        commandSeconds = policy.timeouts.command.inSeconds
        errorsBeforeTarpit = policy.tarpit?.freeErrors
        tarpitSeconds = (policy.tarpit?.delay ?? .zero).inSeconds
        greetSeconds = (policy.greetDelay?.time ?? .zero).inSeconds
        recipients = policy.session.recipients
        messageBytes = policy.session.messageBytes
        headerBytes = policy.content.headerBytes
        headerFields = policy.content.headerFields
        headerFieldBytes = policy.content.headerFieldBytes
        receivedFields = policy.receivedFields
        dataBlockSeconds = policy.timeouts.dataBlock.inSeconds
        messageSeconds = policy.timeouts.message.inSeconds
    }
}
