// What a seed stands for: how many loops, who writes to whom, how hosts behave, and what goes wrong
// when. Drawn before the world begins, so that a smaller world of the same seed (`Diet`) is like the
// large one but for what was left out.

import EkidenMail
import EkidenRuntime

/// What is left out of a world, to find the smallest one that still fails.
package struct Diet: Sendable, Equatable {
    package var lettersMax = Int.max
    package var faultsMax = Int.max
    package var clientsMax = Int.max
    /// Names of `TrialFault` left out.
    package var without: Set<String> = []
    package init() {}
}

/// Something that goes wrong, or that an operator does, at a time of the plan.
enum TrialFault {
    case kill
    case powerLoss
    case stop
    /// Dies in the middle of the disk operation that comes so many after this.
    case crash(operations: Int, losesPower: Bool)
    case weather(stormy: Bool)
    case host(Int, isUp: Bool)
    case trouble(Int, oneIn: UInt64)
    case names(troubled: Bool)
    case moveExchangers(Int)
    case diskFull(Bool)
    /// No file more can be made.
    case noInodes(Bool)
    /// The process gets no processor for a while.
    case pause(Duration)
    /// From now on a bit of one read in so many has rotted, for good.
    case rot(oneIn: Int)
    case diskErrors(SimDiskOperation, oneIn: Int)
    case diskSlow(Bool)
    case clock(Duration)
    case operate(QueueDeed)

    enum QueueDeed: CaseIterable {
        case hold, release, retry, delete, retryThenDelete, suspend, resume, reload

        /// It is told which, while the others speak of all or of a site.
        var isAboutMessages: Bool {
            switch self {
            case .hold, .retry, .delete, .retryThenDelete: true
            case .release, .suspend, .resume, .reload: false
            }
        }
    }

    static let names = [
        "kill", "power-loss", "stop", "crash-at-operation", "weather", "host-down",
        "host-trouble", "names", "moved-exchangers", "disk-full", "no-inodes", "pause",
        "disk-errors", "disk-slow",
        "clock", "operator", "rot",
    ]

    var name: String {
        switch self {
        case .kill: "kill"
        case .powerLoss: "power-loss"
        case .stop: "stop"
        case .crash: "crash-at-operation"
        case .weather: "weather"
        case .host: "host-down"
        case .trouble: "host-trouble"
        case .names: "names"
        case .moveExchangers: "moved-exchangers"
        case .diskFull: "disk-full"
        case .noInodes: "no-inodes"
        case .pause: "pause"
        case .rot: "rot"
        case .diskErrors: "disk-errors"
        case .diskSlow: "disk-slow"
        case .clock: "clock"
        case .operate: "operator"
        }
    }
}

package struct TrialDomain {
    enum Kind: String, CaseIterable {
        /// Hosts that take mail.
        case steady
        /// No MX record: its address is its mail host (RFC 5321 §5.1).
        case address
        /// Takes no mail, and says so (RFC 7505).
        case null
        case missing
        /// Its host never answers.
        case dead
    }
    let name: String
    let kind: Kind
    /// Numbers of its hosts, best first.
    var hosts: [Int]
    /// Its mail goes under TLS or not at all.
    var needsTLS = false
}

struct TrialClient {
    let kind: MailClient.Kind
    let way: ClientWay
    let letters: [Letter]
}

package struct TrialPlan {
    package let seed: UInt64
    let loops: Int
    let isLong: Bool
    let security: Security
    let logins: TrialLogins
    let relayAddress = HostAddress.v4(0x0a09_0909)
    func endpoint(of entrance: ClientWay.Entrance) -> Endpoint {
        Endpoint(relayAddress, entrance.port)
    }
    /// Connections to a site, and to all sites together.
    let connectionsMax: Int
    let poolMax: Int
    let lifetime: Duration
    let ceiling: Duration
    var domains: [TrialDomain] = []
    var routes = TrialRoutes()
    var demand: TrialDemand?
    var streams: TrialStreams?
    var smarthost: TrialSmarthost?
    /// 8-bit bodies are converted for hosts without 8BITMIME; else they bounce.
    let convertsEightBit: Bool
    /// Domains under a rule of the operator's.
    var pacedSite: PacedSite?
    var hostCount = 0
    var tempers: [HostTemper] = []
    var letters: [Letter] = []
    var clients: [TrialClient] = []
    let clientPause: Duration
    /// A long world lasts longer than mail lives in it.
    var spanMin: Duration { isLong ? .seconds(6 * 86_400 + 3600) : .zero }
    /// Until then things go wrong; afterwards all is well.
    let troubleSpan: Duration
    var faults: [(after: Duration, fault: TrialFault)] = []
    /// Bits rot in one world in fifteen: in one read in so many; 0: none do.
    let rotOneIn: Int
    let segmentBytes: Int
    let largeBytes: Int
    let cacheBytes: Int
    let reclaimsEagerly: Bool
    let hasWarmCache: Bool
    /// Jobs of a loop that are ready at once run in any order.
    let shufflesReady: Bool
    /// The domain reports go to, in addresses of senders.
    static let origin = "origin.test"
    var postmaster: String { "postmaster@\(Self.origin)" }

    /// Whether the relay has a certificate, and takes nothing without TLS.
    enum Security: CaseIterable { case none, offered, required }

    package init(seed: UInt64, hours: Double? = nil, diet: Diet = Diet()) {
        self.seed = seed
        let random = SimRandom(seed: seed &* 0x9e37_79b9_7f4a_7c15 ^ 0x656b_6964_656e)
        loops = random.int(in: 1...4)
        isLong = random.once(in: 50)
        connectionsMax = random.pick([1, 2, 5, 20])
        poolMax = max(connectionsMax, random.pick([2, 20, 1000]))
        lifetime = isLong ? .seconds(5 * 86_400) : .seconds(random.pick([3, 6, 12]) * 3600)
        ceiling = .seconds(random.pick([300, 1200, 3600]))
        let span = hours.map { Duration.seconds($0 * 3600) }
        troubleSpan = span ?? (isLong ? .seconds(86_400) : .seconds(random.int(in: 1200...7200)))
        clientPause = .nanoseconds(troubleSpan.wholeNanoseconds / 20)
        segmentBytes = random.pick([65_536, 131_072, 524_288])
        largeBytes = random.pick([2000, 12_000, 200_000])
        cacheBytes = random.pick([0, 20_000, 1 << 20])
        reclaimsEagerly = random.once(in: 2)
        hasWarmCache = !random.once(in: 3)
        shufflesReady = random.once(in: 2)
        security = random.pick(Security.allCases)
        logins = Self.ways(seed).pick(TrialLogins.allCases)
        rotOneIn = Self.drawRot(seed, diet)
        convertsEightBit = Self.ways(seed, 1006).once(in: 2)
        drawHosts(random.branch())
        drawOutboundTLS()
        drawExtensions()
        pacedSite = PacedSite.draw(domains, Self.ways(seed, 1002))
        routes = TrialRoutes.draw(domains, Self.ways(seed, 1003))
        demand = TrialDemand.draw(domains, routes, troubleSpan, Self.ways(seed, 1004))
        streams = TrialStreams.draw(Self.ways(seed, 1005))
        smarthost = TrialSmarthost.draw(
            domains,
            troubles: troubleSpan,
            lifetime: lifetime,
            Self.ways(seed, 1008)
        )
        drawLetters(random.branch(), diet)
        drawFaults(random.branch(), diet)
    }

    private mutating func drawHosts(_ random: SimRandom) {
        hostCount = random.int(in: 3...6)
        // In half of the worlds hosts refuse for good only whom they don't know, so that no other
        // bounce is due in them.
        let isRude = random.once(in: 2)
        for _ in 0..<hostCount {
            var temper = HostTemper()
            temper.trouble = random.pick([0, 0, 40, 12, 5])
            temper.pace = .zero...random.pick([.milliseconds(2), .milliseconds(50), .seconds(5)])
            if random.once(in: 4) { temper.greylisting = .seconds(random.int(in: 60...900)) }
            temper.hasPipelining = !random.once(in: 3)
            temper.hasSize = !random.once(in: 3)
            temper.hasEightBit = !random.once(in: 4)
            temper.dribbles = random.once(in: 8)
            temper.saysFinal = isRude
            tempers.append(temper)
        }
        var kinds: [TrialDomain.Kind] = [.steady, .steady, .steady, .address]
        for kind in [TrialDomain.Kind.null, .missing, .dead] where random.once(in: 2) {
            kinds.append(kind)
        }
        for (index, kind) in kinds.enumerated() {
            let first = random.int(in: 0...hostCount - 1)
            var hosts = [first]
            // Several hosts, some of them those of other domains.
            if kind == .steady, random.once(in: 2) { hosts.append((first + 1) % hostCount) }
            domains.append(TrialDomain(name: "d\(index).test", kind: kind, hosts: hosts))
        }
        // Reports go to a host that is as troubled as others but never refuses for good: each of
        // them has to arrive.
        var temper = tempers[0]
        temper.saysFinal = false
        temper.refusesPostmaster = random.once(in: 4)
        tempers.append(temper)
        domains.append(TrialDomain(name: Self.origin, kind: .steady, hosts: [hostCount]))
        hostCount += 1
    }

    /// In a third of the worlds no host has TLS, in a third some have, in a third all: then some
    /// domains insist on it.
    private mutating func drawOutboundTLS() {
        let random = Self.ways(seed, 1000)
        let kind = random.below(3)
        for index in tempers.indices {
            tempers[index].hasTLS = kind == 2 || kind == 1 && random.once(in: 2)
            tempers[index].breaksTLS = random.pick([0, 0, 3, 1])
        }
        guard kind == 2 else { return }
        for index in domains.indices { domains[index].needsTLS = random.once(in: 3) }
    }

    /// Which hosts know DSN and SMTPUTF8; those that reports go to know what reports need.
    private mutating func drawExtensions() {
        let random = Self.ways(seed, 1001)
        for index in tempers.indices {
            tempers[index].hasDSN = random.once(in: 2)
            tempers[index].hasUTF8 = !random.once(in: 3) || index == tempers.count - 1
        }
        let limits = Self.ways(seed, 1007)
        for index in tempers.indices {
            tempers[index].recipientsMax = limits.pick([nil, nil, 1, 2, 10])
            tempers[index].otherFamily = limits.pick(HostTemper.OtherFamily.allCases)
        }
    }

    /// Files that were written well can't always be read.
    var readsMayFail: Bool {
        rotOneIn > 0
            || faults.contains { fault in
                if case .diskErrors(.read, let oneIn) = fault.fault { oneIn > 0 } else { false }
            }
    }

    /// Connections that sites which don't answer may have together (docs/DELIVERY.md).
    var strangersMax: Int { poolMax - poolMax / 4 }

    /// Whether the relay's policy for the recipient's domain asks for TLS.
    func mustBeSecure(_ recipient: String) -> Bool {
        domains.contains { $0.needsTLS && recipient.hasSuffix("@" + $0.name) }
    }

    private mutating func drawLetters(_ random: SimRandom, _ diet: Diet) {
        // Some never come through: clients give up, operators delete.
        let count = random.int(in: 115...180)
        for key in 1...count { letters.append(drawLetter(key, random)) }
        letters = Array(letters.prefix(diet.lettersMax))
        let clientCount = random.int(in: 4...12)
        let kinds = (0..<clientCount).map { _ in random.pick(MailClient.Kind.allCases) }
        for (index, kind) in kinds.enumerated() {
            let own = letters.enumerated().filter { $0.offset % clientCount == index }
            clients.append(
                TrialClient(kind: kind, way: drawWay(index), letters: own.map(\.element))
            )
        }
        clients = Array(clients.prefix(diet.clientsMax))
    }

    /// Random numbers of their own, as for what rots.
    private static func ways(_ seed: UInt64, _ client: Int = 0) -> SimRandom {
        SimRandom(seed: seed &* 31 &+ UInt64(client) ^ 0x7761_7973)
    }

    /// Every other client asks for TLS where it may, all where they must; so with logins.
    private func drawWay(_ client: Int) -> ClientWay {
        let random = Self.ways(seed, client + 1)
        var way = ClientWay()
        way.isSecure = security == .required || security == .offered && client % 2 == 0
        if logins == .required || logins == .offered && random.once(in: 2) {
            way.login = random.pick([.plain, .login, .scram])
        }
        way.usesChunks = random.once(in: 3)
        way.entrance = random.pick(ClientWay.Entrance.allCases)
        if way.entrance == .implicitTLS {
            // There is no such listener without a certificate.
            if security == .none { way.entrance = .direct } else { way.isSecure = true }
        }
        return way
    }

    private func drawLetter(_ key: Int, _ random: SimRandom) -> Letter {
        let sender = random.once(in: 12) ? nil : "s.k\(key)@\(Self.origin)"
        let isList = random.once(in: 25)
        let count = isList ? random.int(in: 20...60) : random.pick([1, 1, 1, 1, 2, 3])
        let recipients = (0..<count).map { index in
            let kind = random.pick(["ok", "ok", "ok", "ok", "ok", "ok", "full", "bad"])
            return "\(kind)\(index).k\(key)@\(random.pick(domains.dropLast()).name)"
        }
        var header = "Subject: k\(key)\r\nFrom: <s.k\(key)@\(Self.origin)>\r\n"
        if random.once(in: 2) { header += "Date: Sat, 21 Nov 2026 02:00:00 +0000\r\n" }
        if random.once(in: 2) { header += "Message-ID: <k\(key)@\(Self.origin)>\r\n" }
        if random.once(in: 3) {
            header += "bcc : <hidden@secret.test>,\r\n\t<more@secret.test>\r\n"
        }
        if random.once(in: 5) { header += "X-Long: " + String(repeating: "y", count: 900) + "\r\n" }
        let size = random.pick([0, 100, 100, 1000, 1000, 4000, 4000, 20_000, 50_000])
        let wishes = LetterWishes.draw(key, recipients, Self.ways(seed, 2000 + key))
        if wishes.isInternational { header += "X-Word: Gr\u{fc}\u{df}e, \u{4f60}\u{597d}\r\n" }
        let isBulk = routes.hasStream && Self.ways(seed, 4000 + key).once(in: 3)
        if isBulk { header += TrialRoutes.streamField + "\r\n" }
        return Letter(
            key: key,
            sender: sender,
            recipients: recipients,
            header: Array(header.utf8),
            // A letter e with an acute accent, as ISO 8859-1 has it.
            body: Self.drawBody(size, random) + (wishes.isEightBit ? [0xe9, 13, 10] : []),
            wishes: wishes,
            isBulk: isBulk
        )
    }

    private static func drawBody(_ size: Int, _ random: SimRandom) -> [UInt8] {
        var body: [UInt8] = []
        while body.count < size {
            if random.once(in: 8) { body.append(0x2e) }
            let length = random.pick([0, 1, 20, 72, 500])
            for _ in 0..<length { body.append(UInt8(32 + random.below(94))) }
            body += [13, 10]
        }
        return body
    }

    private mutating func drawFaults(_ random: SimRandom, _ diet: Diet) {
        let count = random.int(in: 8...30)
        var drawn: [TrialFault] = [random.once(in: 2) ? .kill : .powerLoss]
        for _ in 0..<count { drawn.append(drawFault(random)) }
        for fault in drawn {
            let after = random.duration(in: .seconds(5)...troubleSpan)
            if !diet.without.contains(fault.name) { faults.append((after, fault)) }
            if let end = Self.end(of: fault) {
                let later = after + random.duration(in: .seconds(1) ... .seconds(900))
                if !diet.without.contains(end.name) { faults.append((later, end)) }
            }
        }
        if rotOneIn > 0 { faults.append((troubleSpan / 4, .rot(oneIn: rotOneIn))) }
        faults = Array(faults.prefix(diet.faultsMax))
    }

    /// From random numbers of its own: worlds without rot are what they are without it.
    private static func drawRot(_ seed: UInt64, _ diet: Diet) -> Int {
        let random = SimRandom(seed: seed ^ 0x726f_7473)
        guard random.once(in: 15), !diet.without.contains("rot") else { return 0 }
        return random.pick([10, 40, 200])
    }

    private func drawFault(_ random: SimRandom) -> TrialFault {
        switch random.below(20) {
        case 0, 1: return .kill
        case 2, 3: return .powerLoss
        case 4: return .stop
        case 5: return .weather(stormy: true)
        case 6, 7: return .host(random.int(in: 0...hostCount - 1), isUp: false)
        case 8: return .trouble(random.int(in: 0...hostCount - 1), oneIn: random.pick([2, 4]))
        case 9: return .names(troubled: true)
        case 10: return .moveExchangers(random.int(in: 0...domains.count - 2))
        case 11: return .diskFull(true)
        case 12:
            let kinds = [SimDiskOperation.write, .sync, .read, .syncDirectory, .open, .preallocate]
            return .diskErrors(random.pick(kinds), oneIn: random.pick([1, 3, 20]))
        case 13: return .diskSlow(true)
        case 14: return .clock(.seconds(random.pick([-7200, -60, 60, 3600, 172_800])))
        case 15: return .noInodes(true)
        case 16: return .pause(random.duration(in: .seconds(1) ... .seconds(300)))
        case 17, 18:
            return .crash(operations: random.int(in: 1...80), losesPower: random.once(in: 2))
        default: return .operate(random.pick(TrialFault.QueueDeed.allCases))
        }
    }

    /// What ends a fault that lasts.
    private static func end(of fault: TrialFault) -> TrialFault? {
        switch fault {
        case .weather: .weather(stormy: false)
        case .host(let index, _): .host(index, isUp: true)
        case .trouble(let index, _): .trouble(index, oneIn: 0)
        case .names: .names(troubled: false)
        case .diskFull: .diskFull(false)
        case .noInodes: .noInodes(false)
        case .diskErrors(let operation, _): .diskErrors(operation, oneIn: 0)
        case .diskSlow: .diskSlow(false)
        case .clock(let step): .clock(.seconds(-step.wholeSeconds))
        case .kill, .powerLoss, .stop, .crash, .moveExchangers, .pause, .operate, .rot:
            nil
        }
    }
}

extension Duration {
    var wholeSeconds: Int64 { components.seconds }
}
