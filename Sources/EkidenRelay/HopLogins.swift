// Who the relay is at next hops: the secrets of `[[login]]`, read from their files for each connection,
// so that a renewed one is used at once, and hashed away from the loops. They are in no log line and in
// no message of ours.

import EkidenConfiguration
import EkidenCrypto
import EkidenMail
import EkidenRuntime
import EkidenSMTP
import Synchronization

package final class HopLogins: Sendable {
    private let files: any Files
    private let workers: any Workers
    private let secrets: any RandomSource
    /// The last keys hashed: most connections ask for the same. By digest of what they are made of.
    private let hashed = Mutex<[(key: [UInt8], salted: [UInt8])]>([])

    /// Bytes of a secret's file.
    package static let secretBytesMax = 16_384
    private static let hashedMax = 16

    init(_ world: RelayWorld) {
        files = world.files
        workers = world.workers
        secrets = world.secrets
    }

    /// Errors: the sentence names the file, and never what is in it.
    func login(_ settings: Configuration.HopLogin) async throws(FileTrouble) -> ClientLogin {
        let secret: ClientLogin.Secret
        if let path = settings.tokenFile {
            let token = try await firstLine(of: path)
            guard let text = String(validating: token, as: UTF8.self),
                text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
            else { throw FileTrouble(text: "\(path) has no token in its first line") }
            secret = .token(text)
        } else if let path = settings.passwordFile {
            guard let password = PreparedPassword.prepare(try await firstLine(of: path)) else {
                throw FileTrouble(text: "\(path) has no password in its first line")
            }
            secret = .password(password)
        } else {
            throw FileTrouble(text: "login \"\(settings.name)\" has neither password nor token")
        }
        let usual = ClientMechanism.allCases
        let chosen = settings.mechanisms.compactMap { ClientMechanism(rawValue: $0.rawValue) }
        return ClientLogin(
            name: settings.name,
            user: settings.user,
            secret: secret,
            mechanisms: chosen.isEmpty ? usual : chosen,
            nonce: String(secrets.next(), radix: 36) + String(secrets.next(), radix: 36)
        )
    }

    private func firstLine(of path: String) async throws(FileTrouble) -> [UInt8] {
        do throws(FileProblem) {
            let stamp = try await files.stamp(path)
            if let looseness = stamp.looseness {
                throw FileProblem(path: path, text: "it has " + looseness)
            }
            let bytes = try await files.read(path, maxBytes: Self.secretBytesMax)
            let line = bytes.prefix { $0 != 0x0a }
            return Array(line.last == 0x0d ? line.dropLast() : line)
        } catch {
            throw FileTrouble(text: "\(path): \(error.text)")
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
    /// Reads the secrets of all logins, so that what is wrong with them is known now. Errors: the
    /// sentence names the file.
    static func prepareLogins(
        _ configuration: Configuration,
        _ logins: HopLogins
    ) async throws(StartFailure) {
        for settings in configuration.hopLogins {
            do throws(FileTrouble) {
                _ = try await logins.login(settings)
            } catch {
                throw StartFailure("can't use login \"\(settings.name)\": \(error.text)")
            }
        }
    }
}
