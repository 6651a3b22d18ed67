// Tokens that programs gave, kept in memory until they are old or refused. A program runs once however
// many connections want its token at the time; each gets what that run brings.

import EkidenDelivery
import EkidenMail
import EkidenRuntime
import Synchronization

final class KeptTokens: Sendable {
    /// A token, and where it is from.
    struct Token: Sendable, Equatable {
        var text: String
        /// It was here before it was asked for: the program may have another one by now.
        var isKept: Bool
    }

    typealias Answer = Result<Token, LoginTrouble>

    private struct Waiter {
        let loop: Loop
        let continuation: UnsafeContinuation<Answer?, Never>
    }

    private struct Entry {
        var token: String?
        var readAt = Instant(nanoseconds: 0)
        /// Who waits for the run under way; nil: none is.
        var waiting: [Waiter]?
    }

    /// By command: what gives the same token runs once.
    private let entries = Mutex<[[String]: Entry]>([:])

    /// The kept token, or a new one.
    /// - Parameters:
    ///   - lifetime: after that a token is old.
    ///   - read: runs the command.
    func token(
        of command: [String],
        lifetime: Duration,
        on loop: Loop,
        _ read: () async -> Result<String, LoginTrouble>
    ) async throws(LoginTrouble) -> Token {
        let now = loop.now()
        let answer: Answer? = await withUnsafeContinuation { continuation in
            let kept = entries.withLock { entries -> Answer?? in
                var entry = entries[command] ?? Entry()
                defer { entries[command] = entry }
                if let token = entry.token, now - entry.readAt < lifetime {
                    return .success(Token(text: token, isKept: true))
                }
                if entry.waiting != nil {
                    entry.waiting?.append(Waiter(loop: loop, continuation: continuation))
                    return nil
                }
                entry.token = nil
                entry.waiting = []
                return .some(nil)
            }
            if let kept { continuation.resume(returning: kept) }
        }
        if let answer { return try answer.get() }
        let result = await read()
        let waiting = entries.withLock { entries in
            var entry = entries[command] ?? Entry()
            defer { entries[command] = entry }
            if case .success(let token) = result { (entry.token, entry.readAt) = (token, now) }
            defer { entry.waiting = nil }
            return entry.waiting ?? []
        }
        let fresh = result.map { Token(text: $0, isKept: false) }
        for waiter in waiting {
            waiter.loop.call { waiter.continuation.resume(returning: fresh) }
        }
        return try fresh.get()
    }

    /// Who comes next is to have another token.
    func forget(_ token: String, of command: [String]) {
        entries.withLock { entries in
            if entries[command]?.token == token { entries[command]?.token = nil }
        }
    }

    /// Forgets what no login has any more.
    func keep(only commands: [[String]]) {
        entries.withLock { entries in
            entries = entries.filter { commands.contains($0.key) || $0.value.waiting != nil }
        }
    }
}
