// Who the relay is at next hops: the secrets of `[[login]]`, read from their files for each connection,
// so that a renewed one is used at once, or given by a command, and hashed away from the loops. They are
// in no log line and in no message of ours.

import EkidenConfiguration
import EkidenCrypto
import EkidenDelivery
import EkidenMail
import EkidenRuntime
import EkidenSMTP
import Synchronization

package final class HopLogins: Sendable {
    private let files: any Files
    private let workers: any Workers
    private let programs: any Programs
    private let tokens = KeptTokens()
    private let secrets: any RandomSource
    /// The last keys hashed: most connections ask for the same. By digest of what they are made of.
    private let hashed = Mutex<[(key: [UInt8], salted: [UInt8])]>([])

    /// Bytes of a secret's file.
    package static let secretBytesMax = 16_384
    private static let hashedMax = 16

    init(_ world: RelayWorld) {
        files = world.files
        workers = world.workers
        programs = world.programs
        secrets = world.secrets
    }

    /// Errors: the sentence names the file or the command, and never what is in it.
    func login(
        _ settings: Configuration.HopLogin,
        on loop: Loop
    ) async throws(LoginTrouble) -> ClientLogin {
        var mayBeOld = false
        let secret: ClientLogin.Secret
        if !settings.tokenCommand.isEmpty {
            let token = try await tokens.token(
                of: settings.tokenCommand,
                lifetime: settings.tokenLifetime,
                on: loop
            ) {
                await self.run(settings.tokenCommand, on: loop)
            }
            (secret, mayBeOld) = (.token(token.text), token.isKept)
        } else if let path = settings.tokenFile {
            (secret, mayBeOld) = (try Self.token(in: try await bytes(of: path), of: path), true)
        } else if let path = settings.passwordFile {
            secret = try Self.password(in: try await bytes(of: path), of: path)
        } else {
            throw LoginTrouble("login \"\(settings.name)\" has neither password nor token")
        }
        let usual = ClientMechanism.allCases
        let chosen = settings.mechanisms.compactMap { ClientMechanism(rawValue: $0.rawValue) }
        return ClientLogin(
            name: settings.name,
            user: settings.user,
            secret: secret,
            mechanisms: chosen.isEmpty ? usual : chosen,
            nonce: String(secrets.next(), radix: 36) + String(secrets.next(), radix: 36),
            mayBeOld: mayBeOld
        )
    }

    /// The login with another token than the one that was refused; nil: there is none.
    func login(
        _ settings: Configuration.HopLogin,
        insteadOf refused: ClientLogin,
        on loop: Loop
    ) async throws(LoginTrouble) -> ClientLogin? {
        guard case .token(let token) = refused.secret else { return nil }
        tokens.forget(token, of: settings.tokenCommand)
        guard refused.mayBeOld else { return nil }
        var login = try await login(settings, on: loop)
        login.mayBeOld = false
        return login.secret == refused.secret ? nil : login
    }

    /// Commands that run end, and none begins any more.
    func stop() { programs.stop() }

    /// What of a login can be looked at without using it. Errors: as above.
    func check(_ settings: Configuration.HopLogin, on loop: Loop) async throws(LoginTrouble) {
        if settings.tokenCommand.isEmpty {
            _ = try await login(settings, on: loop)
        } else {
            try await checkFitness(of: settings.tokenCommand)
        }
    }

    func keep(only settings: [Configuration.HopLogin]) {
        tokens.keep(only: settings.map(\.tokenCommand))
    }

    /// RFC 6750 §2.1: printable ASCII without a space.
    private static func token(_ line: [UInt8]) -> String? {
        guard !line.isEmpty, line.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
        return String(decoding: line, as: UTF8.self)
    }

    /// What is wrong with a secret's file, as a start would find it; nil: nothing.
    package static func flaw(in bytes: [UInt8], of path: String, isToken: Bool) -> String? {
        do throws(LoginTrouble) {
            _ = isToken ? try token(in: bytes, of: path) : try password(in: bytes, of: path)
            return nil
        } catch {
            return error.text
        }
    }

    private static func token(
        in bytes: [UInt8],
        of path: String
    ) throws(LoginTrouble) -> ClientLogin.Secret {
        guard let token = token(firstLine(bytes)) else {
            throw LoginTrouble("\(path) has no token in its first line")
        }
        return .token(token)
    }

    private static func password(
        in bytes: [UInt8],
        of path: String
    ) throws(LoginTrouble) -> ClientLogin.Secret {
        guard let password = PreparedPassword.prepare(firstLine(bytes)) else {
            throw LoginTrouble("\(path) has no password in its first line")
        }
        return .password(password)
    }

    private static func firstLine(_ bytes: [UInt8]) -> [UInt8] {
        let line = bytes.prefix { $0 != 0x0a }
        return Array(line.last == 0x0d ? line.dropLast() : line)
    }

    private func run(
        _ command: [String],
        on loop: Loop
    ) async -> Result<String, LoginTrouble> {
        do throws(LoginTrouble) {
            try await checkFitness(of: command)
            let output: [UInt8]
            do throws(ProgramProblem) {
                output = try await programs.output(of: command, on: loop)
            } catch {
                throw LoginTrouble("the command \(command[0]) \(error.text)")
            }
            guard let token = Self.token(Self.firstLine(output)) else {
                throw LoginTrouble(
                    output.isEmpty
                        ? "the command \(command[0]) said nothing, where a token was to be"
                        : "the command \(command[0]) said no token in its first line"
                )
            }
            return .success(token)
        } catch {
            return .failure(error)
        }
    }

    private func checkFitness(of command: [String]) async throws(LoginTrouble) {
        do throws(FileProblem) {
            let stamp = try await files.stamp(command[0])
            if let unfitness = stamp.unfitness {
                throw FileProblem(path: command[0], text: unfitness)
            }
        } catch {
            throw LoginTrouble("the command \(command[0]) can't be run: \(error.text)")
        }
    }

    private func bytes(of path: String) async throws(LoginTrouble) -> [UInt8] {
        do throws(FileProblem) {
            let stamp = try await files.stamp(path)
            if let looseness = stamp.looseness {
                throw FileProblem(path: path, text: "it has " + looseness)
            }
            return try await files.read(path, maxBytes: Self.secretBytesMax)
        } catch {
            throw LoginTrouble("\(path): \(error.text)")
        }
    }

    /// SaltedPassword of RFC 5802 §3, for a task of `loop`.
    func salted(
        _ password: [UInt8],
        _ question: ScramQuestion,
        on loop: Loop
    ) async -> [UInt8] {
        let key = SHA256.digest(
            Array("\(question.iterations) \(question.salt.count) ".utf8) + question.salt + password
        )
        let known = hashed.withLock { all in all.first { $0.key == key }?.salted }
        if let known { return known }
        let salted = await workers.run(on: loop) {
            SHA256.pbkdf2(
                password: password,
                salt: question.salt,
                iterations: question.iterations
            )
        }
        hashed.withLock { all in
            if all.count >= Self.hashedMax { all.removeFirst() }
            all.append((key, salted))
        }
        return salted
    }
}

extension Relay {
    /// Looks at the secrets of all logins, so that what is wrong with them is known now; commands are
    /// not run for that. Errors: the sentence names the file.
    static func prepareLogins(
        _ configuration: Configuration,
        _ logins: HopLogins,
        on loop: Loop
    ) async throws(StartFailure) {
        for settings in configuration.hopLogins {
            do throws(LoginTrouble) {
                try await logins.check(settings, on: loop)
            } catch {
                throw StartFailure("can't use login \"\(settings.name)\": \(error.text)")
            }
        }
    }
}
