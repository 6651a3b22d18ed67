// `ekiden serve`: reads the configuration, builds the real world around a relay, and waits for
// signals. SIGTERM and SIGINT stop it gracefully, a second one at once; SIGHUP reloads.

import EkidenConfiguration
import EkidenLinux
import EkidenMail
import EkidenRelay
import EkidenRuntime
import Glibc

let serveCommand = Command(
    name: "serve",
    summary: "Run the relay",
    details: """
        Runs in the foreground and logs to standard error. Without --config it serves on loopback
        port 2525 with its spool in ./spool, and relays for this machine alone.

        SIGTERM and SIGINT stop it: no new mail is taken, transactions whose final dot is out are
        finished, and the queue stays on disk. A second signal ends it at once. SIGHUP reads the
        configuration again; if it has errors, the running one stays and the log says why.
        """,
    options: [
        Option("config", "c", value: "FILE", "The configuration (see ekiden config example)")
    ],
    examples: [
        Example("ekiden serve --config /etc/ekiden/ekiden.toml", "Run the relay"),
        Example("ekiden config check /etc/ekiden/ekiden.toml", "See beforehand what is wrong"),
        Example("kill -HUP PID", "Read the configuration again"),
    ],
    run: { (invocation, console) throws(CommandProblem) in
        let source = ConfigurationSource(path: invocation.value("config"))
        let configuration = try source.load(console)
        return try Daemon(configuration, source: source).run(console)
    }
)

/// Where the configuration comes from: a file, or nowhere (the defaults).
struct ConfigurationSource: Sendable {
    let path: String?

    /// Configuration files are small; more is a mistake.
    private static let bytesMax = 1 << 20

    static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        let text = String(
            decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) },
            as: UTF8.self
        )
        return text.isEmpty ? "localhost" : text
    }

    /// The configuration, or what is wrong with it, a line each.
    func read() -> Result<ConfigurationInspection?, ConfigurationProblemText> {
        guard let path else { return .success(nil) }
        do throws(FileProblem) {
            let bytes = try LinuxFiles().readNow(path, maxBytes: Self.bytesMax)
            let inspection = Configuration.inspect(
                text: bytes,
                file: path,
                hostname: Self.hostName
            )
            if inspection.errors.isEmpty { return .success(inspection) }
            return .failure(
                ConfigurationProblemText(
                    text: inspection.errors.map(\.text).joined(separator: "\n")
                )
            )
        } catch {
            return .failure(ConfigurationProblemText(text: "can't read \(path): \(error.text)"))
        }
    }

    /// For the start: warnings are printed, errors end the command.
    func load(_ console: Console) throws(CommandProblem) -> Configuration {
        switch read() {
        case .success(nil):
            return Configuration(hostname: Self.hostName)
        case .success(let inspection?):
            for warning in inspection.warnings { console.error(warning.text) }
            return inspection.configuration
        case .failure(let problem):
            throw CommandProblem(
                .negative,
                problem.text,
                hint: "nothing was started; mend the file and try again"
            )
        }
    }
}

struct ConfigurationProblemText: Error {
    let text: String
}
