// A simulated world with everybody in it: the machine under trial, mail hosts, clients, name
// servers and an operator. It lets the plan's faults happen, then lets all be well, and waits until
// every letter has found its end. The oracles are in `Oracles.swift`.

import EkidenConfiguration
import EkidenControl
import EkidenMail
import EkidenRelay
import EkidenRuntime

/// `@unchecked Sendable`: used on the world's one thread alone.
package final class Town: @unchecked Sendable {
    package let plan: TrialPlan
    package let world: SimWorld
    package let trace: Trace
    package let ledger = Ledger()
    let random: SimRandom
    /// Where clients and hosts live; it never crashes.
    let outside: Loop
    let names: SimNames
    private(set) lazy var files = SimFiles(world)
    let configuration: Configuration
    private(set) lazy var machine = Machine(town: self)
    private(set) var hosts: [MailHost] = []
    private(set) var smarthost: MailHost?
    private var clients: [MailClient] = []
    private var clientsAtWork = 0
    /// How often each kind of fault and each kind of trouble happened.
    package private(set) var counts: [String: Int] = [:]
    /// The hosts a domain ever had.
    private var hostsEver: [String: Set<String>] = [:]
    /// The sites a host ever was of: sets of hosts, which may still have connections when their
    /// domain has moved.
    private var sitesEver: [String: Set<String>] = [:]
    private var handedOver: Set<Int> = []
    var powerLosses: [PowerLoss] = []
    var pacedArrivals = PacedArrivals()
    var streamArrivals = StreamArrivals()
    /// Letters of the slow stream.
    private(set) var slowKeys: Set<Int> = []
    var demandOpenedAt: Instant?
    private(set) var clockSteppedAt: Instant?
    var idleSites = IdleSites()
    /// Messages of which index and log said different things when last looked at.
    var disagreements = Disagreements()
    /// For what is looked at; the world does not draw from it.
    let lookRandom: SimRandom
    private var clockError = Duration.zero
    private var clockErrors = Duration.zero...Duration.zero
    private(set) var isCalm = false
    /// At the last look nothing was left to do.
    private var wasDone = false
    private(set) var calmSince: Instant?
    package private(set) var isOver = false
    private let began: Instant
    /// Of a clock that is right.
    private let wallOffset: Duration

    package init(_ plan: TrialPlan) throws {
        self.plan = plan
        world = SimWorld(seed: plan.seed ^ 0x746f_776e, loopCount: 1)
        lookRandom = SimRandom(seed: plan.seed ^ 0x6c6f_6f6b)
        began = world.instant
        wallOffset = world.wallOffset
        random = world.random.branch()
        trace = Trace(world: world)
        outside = world.loops[0]
        names = SimNames(world: world, random: random.branch())
        configuration = try Configuration.load(
            text: Array(plan.configuration.utf8),
            file: "trial.toml",
            hostname: "relay.test"
        )
        world.network.noted = { [unowned self] in trace.note($0) }
        ledger.noted = { [unowned self] in trace.note("BROKEN: " + $0) }
        names.noted = { [unowned self] in trace.note("names " + $0) }
        for index in 0..<plan.hostCount {
            let endpoint = Endpoint(Self.address(ofHost: index), 25)
            let host = MailHost("mx\(index).test", endpoint, town: self)
            host.temper = plan.tempers[index]
            hosts.append(host)
        }
        if let smart = plan.smarthost {
            smarthost = makeSmarthost(smart)
        }
        for letter in plan.letters { ledger.letters[letter.key] = letter }
        clients = plan.clients.enumerated().map { index, client in
            MailClient(index, client, town: self)
        }
        for (number, client) in plan.clients.enumerated() {
            for letter in client.letters {
                let word = client.way.protocolWord
                // RFC 6531 §4.3: UTF8SMTP, UTF8SMTPS, UTF8SMTPA, UTF8SMTPSA.
                ledger.protocolWords[letter.key] =
                    letter.wishes.isInternational
                    ? "UTF8SMTP" + word.dropFirst("ESMTP".count) : word
                if TrialStreams.slow.contains(client.way.entrance) { slowKeys.insert(letter.key) }
                if client.way.isSecure { ledger.securedKeys.insert(letter.key) }
                ledger.clientLiterals[letter.key] = "[\(client.address(number).text)]"
            }
        }
        if plan.logins != .none { files.write(TrialUsers.file, Array(TrialUsers.text.utf8)) }
    }

    static func address(ofHost index: Int) -> HostAddress { .v4(0xcb00_7100 + UInt32(index)) }

    var rarePaths: RarePaths {
        var paths = RarePaths()
        paths.segmentBytes = plan.segmentBytes
        paths.largeMessageBytes = plan.largeBytes
        paths.cacheBytes = plan.cacheBytes
        if plan.reclaimsEagerly { paths.eagerReclaimRest = .seconds(plan.isLong ? 600 : 20) }
        // Once a second would be most of what a world of days does.
        paths.guardInterval = .seconds(30)
        return paths
    }

    func count(_ what: String) { counts[what, default: 0] += 1 }

    /// Worlds with less in them say less: `ekiden-sim` tells how many had it all.
    package var isFull: Bool {
        ledger.copyCount >= 100 && plan.domains.count >= 3 && counts["crashed", default: 0] > 0
            && TrialFault.names.count { counts[$0] != nil } >= 3
    }

    // MARK: The run

    /// Runs the world to its end; then the ledger has what was found.
    package func run() {
        publishNames()
        for host in hosts { host.start() }
        openSmarthost(from: began)
        machine.start()
        clientsAtWork = clients.count
        for client in clients { client.start() }
        for (after, fault) in plan.faults {
            world.schedule(at: began + after) { [unowned self] in happen(fault) }
        }
        world.schedule(at: began + plan.troubleSpan) { [unowned self] in calmDown() }
        world.shufflesReady = plan.shufflesReady
        scheduleOpenings(from: began)
        watchSites()
        watchIndex()
        // Mail that came while the clock was ahead lives as much longer.
        let end = began + plan.troubleSpan + plan.lifetime + plan.lifetime + .seconds(4 * 86_400)
        while !isOver, world.instant < end, isWorthwhile, world.step() {}
        if !isOver, isWorthwhile { ledger.violation("it does not come to rest: " + restlessness) }
        trace.note(
            "over: \(ledger.copyOrder.count) accepted, \(ledger.violations.count) violations"
        )
    }

    private var isWorthwhile: Bool { ledger.violations.count < Ledger.violationsMax }

    private var restlessness: String {
        let open = ledger.open()
        return "\(clientsAtWork) clients at work, \(open.count) recipients without an end, first "
            + (open.first?.text ?? "none")
    }

    /// - Parameter site: what domains with the same hosts share; with TLS for a policy not with those
    ///   without.
    private func noteHosts(_ names: [String], of domain: TrialDomain, site: String? = nil) {
        let own = plan.isPaced(domain.name) ? PacedSite.name : site
        let site = (own ?? names.sorted().joined(separator: ",")) + (domain.needsTLS ? "+tls" : "")
        for name in names {
            hostsEver[domain.name, default: []].insert(name)
            sitesEver[name, default: []].insert(site)
        }
    }

    func hasHost(_ domain: String, where isSuch: (MailHost) -> Bool) -> Bool {
        let names = hostsEver[domain, default: []]
        let all = hosts + (smarthost.map { [$0] } ?? [])
        return all.contains { names.contains($0.name) && isSuch($0) }
    }

    /// Whether a host of the domain refused for good before it knew for whom.
    func hasRudeHost(_ domain: String) -> Bool {
        !hostsEver[domain, default: []].isDisjoint(with: ledger.rudeHosts)
    }

    /// At no time has the relay more connections to a host than its sites may have, each of which
    /// is a domain, or several with the same hosts.
    func checkConnections(_ host: MailHost) {
        let sites = sitesEver[host.name, default: []]
        let allowed = sites.reduce(0) { sum, site in
            let own = site.hasPrefix(PacedSite.name) ? plan.pacedSite?.connectionsMax : nil
            return sum + (own ?? plan.connectionsMax)
                * (plan.routes.sitesOfHosts + (plan.demand == nil ? 0 : 1))
        }
        // Faulty name servers make more sites than the plan has.
        if counts["names", default: 0] > 0 { return }
        let open = world.network.openConnections(to: host.endpoint)
        if open > allowed {
            ledger.violation("\(host.name) has \(open) connections of \(sites.count) sites at once")
        }
    }

    /// The name servers know the hosts of all domains.
    var hasPublished: Bool { !hostsEver.isEmpty }

    func publishNames() {
        for domain in plan.domains {
            switch domain.kind {
            case .steady:
                let exchangers = domain.hosts.enumerated().map {
                    ($0.offset * 10 + 10, hosts[$0.element].name)
                }
                names.zones.setMX(domain.name, exchangers)
                let hostNames = exchangers.map { $0.1 }
                noteHosts(hostNames, of: domain)
            case .address:
                names.zones.setAddresses(domain.name, [Self.address(ofHost: domain.hosts[0])])
                noteHosts([hosts[domain.hosts[0]].name], of: domain, site: domain.name)
            case .null: names.zones.setNullMX(domain.name)
            case .missing: names.zones.remove(domain.name)
            case .dead:
                names.zones.setMX(domain.name, [(10, "nobody.test")])
                names.zones.setAddresses("nobody.test", [.v4(0xc612_0001)])
            }
        }
        if let smart = plan.smarthost,
            let domain = plan.domains.first(where: { $0.name == smart.domain })
        {
            noteHosts([TrialSmarthost.host], of: domain, site: TrialSmarthost.host)
        }
        for (index, host) in hosts.enumerated() {
            var addresses = [Self.address(ofHost: index)]
            if host.temper.otherFamily != .none {
                let six = HostAddress.v6(high: 0x2001_0db8_0000_0000, low: UInt64(index + 1))
                addresses.append(six)
                if host.temper.otherFamily == .silent { world.network.silentPeers.insert(six) }
            }
            names.zones.setAddresses(host.name, addresses)
        }
    }

    // MARK: What happens

    private func happen(_ fault: TrialFault) {
        guard !isCalm else { return }
        count(fault.name)
        trace.note("fault \(fault)")
        switch fault {
        case .kill: machine.kill()
        case .powerLoss: machine.cutPower()
        case .stop: machine.stop()
        case .crash(let count, let losesPower):
            machine.crash(afterOperations: count, losesPower: losesPower)
        case .weather(let stormy): world.network.weather = stormy ? .stormy : .calm
        case .host(let index, let isUp): isUp ? hosts[index].start() : hosts[index].stop()
        case .trouble(let index, let oneIn): hosts[index].temper.trouble = oneIn
        case .names(let troubled): setNamesTroubled(troubled)
        case .moveExchangers(let index): moveExchangers(index)
        case .diskFull(let isFull):
            machine.isFull = isFull
            machine.adjustDisk()
        case .noInodes(let isTrue):
            machine.hasNoInodes = isTrue
            machine.adjustDisk()
        case .pause(let duration): machine.pause(for: duration)
        case .rot(let oneIn):
            machine.diskFaults.rotOneIn = oneIn
            machine.adjustDisk()
        case .diskErrors(let operation, let oneIn):
            machine.diskFaults.inputOutputOneIn[operation] = oneIn == 0 ? nil : oneIn
            machine.adjustDisk()
        case .diskSlow(let isSlow):
            machine.diskTiming.slowOneIn = isSlow ? 10 : 0
            machine.diskTiming.spread = isSlow ? 50 : 1
            machine.adjustDisk()
        case .clock(let step): stepClock(step)
        case .operate(let deed): operate(deed)
        }
    }

    private func stepClock(_ step: Duration) {
        world.wallOffset += step
        clockSteppedAt = world.instant
        // Leaps of more than a day are not believed.
        guard step > .seconds(-86_400), step < .seconds(86_400) else { return }
        clockError += step
        clockErrors =
            min(clockErrors.lowerBound, clockError)...max(clockErrors.upperBound, clockError)
    }

    /// So much older than it is mail may look.
    var clockSlack: Duration { clockErrors.upperBound - clockErrors.lowerBound }

    /// Only trouble that must not lead astray: in the end each is a temporary failure, or the truth.
    private func setNamesTroubled(_ isTroubled: Bool) {
        names.faults.clear()
        guard isTroubled else { return }
        for fault in SimNameFault.allCases where !fault.canMislead && random.once(in: 3) {
            names.faults.set(fault, chance: 0.2)
        }
    }

    private func moveExchangers(_ index: Int) {
        guard plan.domains[index].kind == .steady else { return }
        // The last host is the reports' own.
        let host = random.int(in: 0...hosts.count - 2)
        noteHosts([hosts[host].name], of: plan.domains[index])
        names.zones.setMX(plan.domains[index].name, [(5, hosts[host].name)])
    }

    private func calmDown() {
        trace.note("calm")
        isCalm = true
        calmSince = world.instant
        world.network.weather = .calm
        if world.wallOffset != wallOffset { clockSteppedAt = world.instant }
        world.wallOffset = wallOffset
        setNamesTroubled(false)
        machine.diskFaults = SimDiskFaults()
        machine.diskTiming = SimDiskTiming()
        machine.isFull = false
        machine.hasNoInodes = false
        machine.calmDown()
        machine.adjustDisk()
        for host in hosts + (smarthost.map { [$0] } ?? []) {
            host.temper.trouble = 0
            host.temper.dribbles = false
            host.temper.breaksTLS = 0
            host.start()
        }
        watch()
    }

    /// Looks now and then whether all is done; what an operator holds is let go.
    private func watch() {
        world.schedule(after: .seconds(60)) { [unowned self] in
            if isOver { return }
            operate(.release)
            releaseAll()
            operate(.resume)
            machine.with { [unowned self] relay in
                let isDone =
                    isAtRest(relay) && clientsAtWork == 0
                    && world.instant >= began + plan.spanMin
                // At the second look also what follows a message's end has happened: its mark is
                // synced, and its large file gone.
                if isDone, wasDone { finish() }
                wasDone = isDone
            }
            watch()
        }
    }

    private func finish() {
        guard !isOver else { return }
        isOver = true
        checkDisk(machine.files)
        trace.note("the queue is empty")
    }

    var virtualSeconds: Double { (world.instant - began).inSeconds }

    /// Lets go of the world, so that its memory can be freed.
    func discard() { world.discard() }

    // MARK: What clients and hosts report

    func clientEnded() { clientsAtWork -= 1 }

    func outOfHands(_ letter: Letter) { handedOver.insert(letter.key) }
    func backInHands(_ letter: Letter) { handedOver.remove(letter.key) }
    func isOut(_ letter: Letter) -> Bool { handedOver.contains(letter.key) }

    func acknowledged(_ letter: Letter, _ recipients: [String], _ words: String) {
        // "2.0.0 Ok: queued as ID", whatever the words: the id is the last of them.
        let id = words.split(separator: " ").last.map { String($0) } ?? ""
        trace.note("client has 250 for k\(letter.key): \(id)")
        ledger.acknowledge(id, letter, recipients, at: world.instant)
        checkDurable(id)
    }
}

/// `@unchecked Sendable`: used on the world's one thread alone.
final class TownEvents: EventSink, @unchecked Sendable {
    private unowned let town: Town
    init(town: Town) { self.town = town }

    func emit(_ event: Event, at: WallTime) {
        heed(event)
        var line = BytesBuilder(capacity: 200)
        event.writeText(at: at, to: &line)
        let text = line.finish().text
        town.trace.note(text.last == "\n" ? String(text.dropLast()) : text)
        town.checkSecrecy(text)
    }

    /// A report to the postmaster that is refused for good, or whose time is over, is told of by
    /// nobody but the log.
    private func heed(_ event: Event) {
        if town.isRotten { town.ledger.damage.heed(event) }
        switch event {
        case .accepted(let report):
            if let about = report.about { town.ledger.subjects[report.id.text] = about.text }
        case .attempt(let attempt):
            guard attempt.status == .bounced || attempt.status == .expired else { return }
            town.ledger.failedByLog.insert(
                Place(id: attempt.id.text, recipient: attempt.recipient.text)
            )
            guard attempt.recipient.text == town.plan.postmaster else { return }
            if let about = town.ledger.subjects[attempt.id.text] {
                town.ledger.untold.insert(about)
                if let first = town.ledger.subjects[about] { town.ledger.untold.insert(first) }
            } else {
                town.ledger.strayRefusals += 1
            }
        default: break
        }
    }
}
