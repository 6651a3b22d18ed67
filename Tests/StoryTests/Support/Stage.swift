// What a story plays on: a directory, a loopback network of its own (127.A.B.0/24, so that ports
// never clash and every mail host has an address), a relay as a child process, name server, sinks
// and peers. Whatever was started here is stopped here, by its id.

import Foundation

final class Stage {
    /// Ports are the same on every stage; the addresses differ.
    static let relayPort: UInt16 = 2525
    static let mailPort: UInt16 = 2526
    private static let namePort: UInt16 = 5353

    let directory: String
    /// `127.A.B.`
    private let network: String
    /// Bound while the network is ours.
    private let claim: Socket
    /// `"section.name": value`; see `configuration`.
    var settings: [String: String]
    /// Further TOML, such as routes.
    var more: String
    var keepsFiles = false
    /// What a helper found wrong without a way to throw.
    var complaint: String?
    private(set) var relay: Child?
    /// A program and arguments that run the relay.
    var launcher: [String] = []
    private var children: [Child] = []
    private var peers: [Peer] = []
    private var zone: [String: [String: Any]] = [:]
    private var hasNameServer = false

    var place: Place { Place(address(1), Self.relayPort) }
    var configurationPath: String { directory + "/ekiden.toml" }
    var logPath: String { directory + "/relay.log" }
    var spool: String { directory + "/spool" }
    var logText: String { String(decoding: (try? readAll(logPath)) ?? [], as: UTF8.self) }

    init(settings: [String: String] = [:], more: String = "") throws {
        self.settings = settings
        self.more = more
        var template = Array("/tmp/ekiden-story-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw systemError("mkdtemp") }
        directory = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) },
            as: UTF8.self
        )
        while true {
            let network = "127.\(Int.random(in: 16...250)).\(Int.random(in: 1...250))."
            if let claim = try? Socket.listen(on: Place(network + "254", 25_254)) {
                (self.network, self.claim) = (network, claim)
                break
            }
        }
    }

    /// An address of the stage's network: 1 is the relay, 53 the name server, 10 and on are hosts.
    func address(_ number: Int) -> String { network + String(number) }

    // MARK: The relay

    static let binary: String = {
        if let path = ProcessInfo.processInfo.environment["EKIDEN_BINARY"] { return path }
        let own =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (own as NSString).deletingLastPathComponent + "/ekiden"
    }()

    /// Times are short and sizes small, so that stories are.
    private var defaults: [(String, String)] {
        [
            ("relay.hostname", "relay.test"),
            ("relay.postmaster", "postmaster@admin.test"),
            ("log.format", "json"),
            ("spool.directory", spool),
            ("spool.segment_size", "4MiB"),
            ("spool.min_free_space", "0B"),
            ("spool.min_free_inodes", "0"),
            ("resolver.servers", "[\"\(address(53)):\(Self.namePort)\"]"),
            ("resolver.timeout", "2s"),
            ("delivery.port", String(Self.mailPort)),
            ("delivery.address_family", "prefer-ipv4"),
            ("sites.backoff_first", "1s"),
            ("sites.backoff_ceiling", "2s"),
            ("retry.first", "1s"),
            ("retry.factor", "1.0"),
            ("retry.jitter", "0%"),
            ("limits.loops", "2"),
            ("listener.name", "relay"),
            ("listener.role", "relay"),
            ("listener.listen", "[\"\(place)\"]"),
        ]
    }

    /// The configuration file: defaults, settings over them, and `more`.
    var configuration: String {
        var sections: [String: [String: String]] = [:]
        for (name, value) in defaults + settings.map({ ($0, $1) }) {
            let parts = name.split(separator: ".", maxSplits: 1)
            sections[String(parts[0]), default: [:]][String(parts[1])] = value
        }
        var text = ""
        for (section, values) in sections.sorted(by: { $0.key < $1.key }) {
            text += section == "listener" ? "[[listener]]\n" : "[\(section)]\n"
            for (name, value) in values.sorted(by: { $0.key < $1.key }) {
                text += "\(name) = \(Self.toml(value))\n"
            }
        }
        return text + more + "\n"
    }

    private static func toml(_ value: String) -> String {
        let isRaw =
            Double(value) != nil || value == "true" || value == "false" || value.hasPrefix("[")
        return isRaw ? value : "\"\(value)\""
    }

    func writeConfiguration(_ text: String? = nil) throws {
        try (text ?? configuration).write(
            toFile: configurationPath,
            atomically: true,
            encoding: .utf8
        )
    }

    /// Starts the process without waiting for anything.
    func launch() throws -> Child {
        try startNameServer()
        if !FileManager.default.fileExists(atPath: configurationPath) { try writeConfiguration() }
        let words = launcher + [Self.binary, "serve", "--config", configurationPath]
        let child = try Child("relay", words[0], Array(words.dropFirst()), output: logPath)
        children.append(child)
        return child
    }

    /// Starts the relay and waits until it listens.
    func start() throws {
        let before = log("notice", where: Self.saysStarted).count
        let child = try launch()
        relay = child
        try eventually("the relay starts", within: 30) {
            if let status = child.exitStatus {
                throw StoryFailure("the relay ended with \(status)")
            }
            return log("notice", where: Self.saysStarted).count > before
        }
    }

    private static func saysStarted(_ line: LogLine) -> Bool {
        line["part"] == "relay" && line["text"].hasPrefix("started with")
    }

    /// Ends the relay's process by SIGKILL.
    func killRelay() throws {
        relay?.send(SIGKILL)
        try relay?.waitForEnd()
        relay = nil
    }

    /// SIGTERM and a clean end.
    func stopRelay(within seconds: Double = 30) throws {
        guard let relay else { return }
        relay.send(SIGTERM)
        let status = try relay.waitForEnd(within: seconds)
        self.relay = nil
        if status != 0 { throw StoryFailure("the relay ended with \(status) after SIGTERM") }
    }

    func restart() throws {
        try stopRelay()
        try writeConfiguration()
        try start()
    }

    /// Writes the configuration anew and has the relay read it.
    func reload() throws {
        let before = log("notice") { $0["part"] == "config" }.count
        try writeConfiguration()
        relay?.send(SIGHUP)
        try eventually("the reload is logged") {
            log("notice") { $0["part"] == "config" }.count > before
        }
    }

    /// Runs another subcommand against this stage's configuration.
    func ekiden(_ arguments: String...) throws -> (status: Int32, text: String) {
        try Child.run(Self.binary, arguments)
    }

    /// A command that talks to the relay, and must end with `status`; its output.
    func ask(_ arguments: String..., ending status: Int32 = 0) throws -> String {
        let run = try Child.run(Self.binary, arguments + ["--config", configurationPath])
        if run.status != status {
            throw StoryFailure("ekiden \(arguments) ended with \(run.status): \(run.text)")
        }
        return run.text
    }

    // MARK: Names

    private func startNameServer() throws {
        if hasNameServer { return }
        hasNameServer = true
        writeZone()
        let tools = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Tools")
        let child = try Child(
            "name server",
            Child.find("python3") ?? "python3",
            [
                tools.appending(path: "dns_server.py").path, "--zone", directory + "/zone.json",
                "--address", address(53), "--port", String(Self.namePort),
            ],
            output: directory + "/names.log"
        )
        children.append(child)
        try eventually("the name server is ready") {
            if let status = child.exitStatus {
                throw StoryFailure("the name server ended with \(status): \(child.text)")
            }
            return child.text.contains("ready ")
        }
    }

    /// Questions the name server was asked: `MX example.test`.
    var questions: [String] {
        let text = String(decoding: (try? readAll(directory + "/names.log")) ?? [], as: UTF8.self)
        return text.split(separator: "\n").filter { $0.hasPrefix("udp ") || $0.hasPrefix("tcp ") }
            .map { $0.split(separator: " ").dropFirst().prefix(2).joined(separator: " ") }
    }

    /// Sets the records of a name: `["MX": [[10, "mx.test"]]]`; see dns_server.py.
    func name(_ name: String, _ records: [String: Any]) {
        zone[name] = records.merging(["ttl": 0, "negative_ttl": 0]) { own, _ in own }
        if hasNameServer { writeZone() }
    }

    private func writeZone() {
        do {
            let data = try JSONSerialization.data(withJSONObject: zone)
            try data.write(to: URL(filePath: directory + "/zone.json"), options: .atomic)
        } catch {
            complaint = "can't write the zone: \(error)"
        }
    }

    // MARK: Mail hosts

    /// A mail host named `mx<number>.test` with an address of its own.
    func peer(
        _ number: Int = 10,
        port: UInt16 = Stage.mailPort,
        extensions: [String] = Peer.usualExtensions,
        _ script: @escaping PeerScript = { _ in nil }
    ) throws -> Peer {
        name("mx\(number).test", ["A": [address(number)]])
        return try peer(at: Place(address(number), port), extensions: extensions, script)
    }

    func peer(
        at place: Place,
        extensions: [String] = Peer.usualExtensions,
        speaksLMTP: Bool = false,
        _ script: @escaping PeerScript = { _ in nil }
    ) throws -> Peer {
        let peer = try Peer(at: place, extensions: extensions, speaksLMTP: speaksLMTP, script)
        peers.append(peer)
        return peer
    }

    /// Points a domain's MX at `mx<number>.test` hosts, by preference 10, 20, …
    func mail(for domain: String, to numbers: Int...) {
        name(
            domain,
            ["MX": numbers.enumerated().map { [($0 + 1) * 10, "mx\($1).test"] as [Any] }]
        )
    }

    /// A mail host for a domain, its only MX.
    func host(
        for domain: String = "example.test",
        _ number: Int = 10,
        extensions: [String] = Peer.usualExtensions,
        _ script: @escaping PeerScript = { _ in nil }
    ) throws -> Peer {
        mail(for: domain, to: number)
        return try peer(number, extensions: extensions, script)
    }

    /// `ekiden sink` at an address, storing what it gets.
    func sink(_ number: Int, store: String? = nil, _ options: [String] = []) throws -> Child {
        name("mx\(number).test", ["A": [address(number)]])
        let place = Place(address(number), Self.mailPort)
        let keeping = store.map { ["--store", $0, "--print", "none"] } ?? ["--print", "envelope"]
        let child = try Child(
            "sink \(number)",
            Self.binary,
            ["sink", "--listen", place.description] + keeping + options,
            output: directory + "/sink\(number).log"
        )
        children.append(child)
        try eventually("the sink listens") {
            if let status = child.exitStatus {
                throw StoryFailure("the sink ended with \(status): \(child.text)")
            }
            return child.text.contains("listening on")
        }
        return child
    }

    // MARK: The end

    func clear() {
        for child in children.reversed() { child.end() }
        for peer in peers { peer.close() }
        if !keepsFiles { try? FileManager.default.removeItem(atPath: directory) }
    }

    /// What a person wants to see of a story that failed.
    var recollection: String {
        var text = "stage \(directory) (\(network)0/24)\n"
        for child in children where child.name != "relay" {
            text += "--- \(child.name), its last lines\n" + Self.tail(child.text, 12)
        }
        return text + "--- relay, its last lines\n" + Self.tail(logText, 60)
    }

    private static func tail(_ text: String, _ lines: Int) -> String {
        text.split(separator: "\n").suffix(lines).joined(separator: "\n") + "\n"
    }
}
