// A smarthost in a simulated world (docs/DELIVERY.md): a domain whose mail goes by a host that wants a
// login. Now and then it has another secret than we have, does not let us relay, puts logins off, or
// seems to have no TLS. Our side of it is a password's file, a token's, or a command.

import EkidenCrypto
import EkidenMail
import EkidenRuntime

struct TrialSmarthost {
    enum Source: CaseIterable { case password, token, command }

    enum Trouble: CaseIterable {
        /// It has a new secret, and we have the old one.
        case renewed
        /// It has a new secret, which is to be had at once: a token ran out.
        case runOut
        /// It refuses to relay for us.
        case refuses
        /// It can't check logins just now.
        case putsOff
        /// Somebody on the way takes STARTTLS out of what it offers (RFC 3207 §6).
        case stripped
    }

    let domain: String
    let source: Source
    /// After the world began; no two at the same time.
    let troubles: [(from: Duration, to: Duration, trouble: Trouble)]

    static let host = "smart.test"
    static let endpoint = Endpoint(.v4(0x0a04_0404), 587)
    static let route = "smart"
    static let user = "relay"
    static let secretFile = "/smart.secret"
    static let command = "/get-token"

    /// One world in three has one, for the domain without MX.
    static func draw(
        _ domains: [TrialDomain],
        troubles span: Duration,
        lifetime: Duration,
        _ random: SimRandom
    ) -> TrialSmarthost? {
        guard random.once(in: 3), let domain = domains.first(where: { $0.kind == .address }) else {
            return nil
        }
        var troubles: [(from: Duration, to: Duration, trouble: Trouble)] = []
        var from = random.duration(in: .seconds(60)...span / 3)
        while from < span {
            let to = from + random.duration(in: .seconds(120)...span / 3)
            troubles.append((from, to, random.pick(Trouble.allCases)))
            from = to + random.duration(in: .seconds(300)...span / 3)
        }
        // Longer than mail lives, which must not matter.
        if random.once(in: 3), let last = troubles.popLast() {
            troubles.append((last.from, span + lifetime + .seconds(3600), .renewed))
        }
        return TrialSmarthost(
            domain: domain.name,
            source: random.pick(Source.allCases),
            troubles: troubles
        )
    }

    static func temper(_ random: SimRandom) -> HostTemper {
        var temper = HostTemper()
        temper.trouble = random.pick([0, 0, 40])
        temper.hasPipelining = random.once(in: 2)
        temper.hasDSN = random.once(in: 2)
        temper.hasUTF8 = random.once(in: 2)
        temper.hasTLS = true
        return temper
    }

    var configuration: String {
        let secret =
            switch source {
            case .password: "password_file = \"\(Self.secretFile)\""
            case .token: "token_file = \"\(Self.secretFile)\""
            case .command: "token_command = [\"\(Self.command)\"]\ntoken_lifetime = \"20m\""
            }
        return """
            [[login]]
            name = "smart"
            user = "\(Self.user)"
            \(secret)
            [[route]]
            name = "\(Self.route)"
            domains = ["\(domain)"]
            hosts = ["\(Self.endpoint.address.text):\(Self.endpoint.port)"]
            login = "smart"
            tls = "encrypt"

            """
    }
}

/// What is so at the smarthost now. `@unchecked Sendable`: used on the world's one thread alone.
final class SmartDoor: @unchecked Sendable {
    let source: TrialSmarthost.Source
    var trouble: TrialSmarthost.Trouble?
    /// Since when it has been refusing our login.
    var brokenSince: Instant?
    /// Secrets are numbered.
    private(set) var theirs = 1
    private(set) var ours = 1
    private var failures: [(at: Instant, boot: Int)] = []

    static let window = Duration.seconds(600)

    init(_ source: TrialSmarthost.Source) { self.source = source }

    func renew() { theirs += 1 }
    func follow() { ours = theirs }

    var secret: String { "secret-\(ours)" }

    var mechanisms: String { source == .password ? "PLAIN LOGIN" : "XOAUTH2" }

    /// The initial response that is right now: RFC 4616; XOAUTH2 as its inventors have it.
    func isRight(_ response: [UInt8]) -> Bool {
        let right =
            source == .password
            ? "\0\(TrialSmarthost.user)\0secret-\(theirs)"
            : "user=\(TrialSmarthost.user)\u{1}auth=Bearer secret-\(theirs)\u{1}\u{1}"
        return response.elementsEqual(right.utf8)
    }

    /// A login failed: how many there were lately, and of how many starts of the relay.
    func failed(at now: Instant, boot: Int) -> (count: Int, starts: Int) {
        failures.append((now, boot))
        failures.removeAll { now - $0.at > Self.window }
        return (failures.count, Set(failures.map(\.boot)).count)
    }
}

extension Town {
    func makeSmarthost(_ smart: TrialSmarthost) -> MailHost {
        let random = SimRandom(seed: plan.seed ^ 0x736d_6172_74)
        let host = MailHost(
            TrialSmarthost.host,
            TrialSmarthost.endpoint,
            town: self,
            random: random.branch()
        )
        host.temper = TrialSmarthost.temper(random)
        host.door = SmartDoor(smart.source)
        return host
    }

    func checkSecrecy(_ line: String) {
        guard let door = smarthost?.door, line.contains(door.secret) else { return }
        ledger.violation("a secret is in the log: \(line)")
    }

    func openSmarthost(from began: Instant) {
        guard let smart = plan.smarthost, let host = smarthost, let door = host.door else { return }
        giveSecret(door)
        host.start()
        for (from, to, trouble) in smart.troubles {
            world.schedule(at: began + from) { [unowned self] in
                count("smarthost-\(trouble)")
                trace.note("smarthost: \(trouble)")
                door.trouble = trouble
                if trouble == .renewed || trouble == .runOut { door.renew() }
                if trouble == .renewed { door.brokenSince = world.instant }
                if trouble == .runOut { giveSecret(door) }
            }
            world.schedule(at: began + to) { [unowned self] in
                trace.note("smarthost: no longer \(trouble)")
                door.trouble = nil
                door.brokenSince = nil
                giveSecret(door)
            }
        }
    }

    /// We have what the host has.
    private func giveSecret(_ door: SmartDoor) {
        door.follow()
        files.write(TrialSmarthost.secretFile, Array((door.secret + "\n").utf8))
        files.write(TrialSmarthost.command, [], mode: 0o700)
    }

    /// The command that says the token: it takes its time, and does not always succeed.
    func runCommand(_ random: SimRandom) -> SimPrograms.Run {
        guard let door = smarthost?.door else { return (.zero, .success([])) }
        let token = Array((door.secret + "\n").utf8)
        count("token-command")
        switch isCalm ? 9 : random.below(10) {
        case 0: return (.seconds(1), .failure(ProgramProblem("ended with status 1: no network")))
        case 1: return (.seconds(60), .success(token))
        case 2: return (.milliseconds(5), .success([]))
        default: return (random.duration(in: .milliseconds(5) ... .seconds(3)), .success(token))
        }
    }

    /// A login was refused. One that is wrong must not be tried again and again, or the account is
    /// locked: at first by all connections that there are, then by one at a time, after a minute and
    /// more; with a new token once more each time.
    func loginFailed(at door: SmartDoor, boot: Int) {
        count("smarthost-login-refused")
        let lately = door.failed(at: world.instant, boot: boot)
        let allowed = lately.starts * (2 * plan.connectionsMax + 8)
        if lately.count > allowed {
            ledger.violation(
                "\(lately.count) refused logins within ten minutes, with \(plan.connectionsMax) connections"
            )
        }
    }

    /// While we are refused, all are well but us, and no mail is given up.
    func checkKept(_ place: Place, _ domain: String, _ letter: Letter) {
        guard let smart = plan.smarthost, domain == smart.domain, !letter.isBulk,
            let since = smarthost?.door?.brokenSince, let calmSince,
            // The report may have been late.
            world.instant - max(since, calmSince) > plan.ceiling * 2 + Self.calmMin
        else { return }
        ledger.violation("\(place.text) was given up while its smarthost refused our login")
    }

    /// That domain's mail comes to the smarthost, unless a route that asks for more has it.
    func checkSmarthost(_ letter: Letter, _ recipients: [String], _ transaction: HostTransaction) {
        guard let smart = plan.smarthost, !letter.isBulk,
            recipients.contains(where: { $0.hasSuffix("@" + smart.domain) })
        else { return }
        count("by-smarthost")
        if transaction.host != TrialSmarthost.host {
            ledger.violation("mail for \(smart.domain) came to \(transaction.host)")
        }
    }
}

extension HostSession {
    /// AUTH, of which the smarthost alone knows (RFC 4954 §4).
    mutating func logIn(_ line: String) async throws {
        guard let door = host.door else { return try await say("500 5.5.2 what?") }
        let town = host.shared
        if !isSecure { town.ledger.violation("a secret was said in the clear") }
        if isLoggedIn { return try await say("503 5.5.1 once is enough") }
        let words = line.split(separator: " ")
        let known = door.source == .password ? "PLAIN" : "XOAUTH2"
        guard words.count == 3, words[1] == known, let response = Base64.decode(String(words[2]))
        else {
            town.ledger.violation("\(host.name) was told \(line)")
            return try await say("501 5.5.4 not so")
        }
        if door.trouble == .putsOff {
            return try await say("454 4.7.0 can't look that up now")
        }
        if door.isRight(response) {
            isLoggedIn = true
            town.count("smarthost-login")
            return try await say("235 2.7.0 welcome")
        }
        town.loginFailed(at: door, boot: boot)
        if door.source != .password {
            // A refused token is told of in a challenge, which is answered (RFC 7628 §3.2.3).
            try await say("334 " + Base64.encode(Array("{\"status\":\"401\"}".utf8)))
            _ = try await nextLine()
        }
        try await say("535 5.7.8 not with that")
    }

    /// What the smarthost says in place of taking mail; nil: nothing.
    func smarthostRefusal(recipient: String? = nil) -> String? {
        guard let door = host.door else { return nil }
        if !isLoggedIn {
            host.shared.ledger.violation("\(host.name) was asked to take mail without a login")
            return "530 5.7.0 authentication required"
        }
        if recipient != nil, door.trouble == .refuses { return "554 5.7.1 relay access denied" }
        return nil
    }
}
