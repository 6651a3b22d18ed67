// A client logs in: the protocol's question is put to `Logins`, failures are held back and logged,
// and the answer goes to the protocol. A part of the session's driver.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

extension IngressSession {
    /// Answers a question of AUTH; false when the session is over.
    mutating func judge(
        _ question: LoginQuestion,
        _ mechanism: SASLMechanism
    ) async throws(IOFailure) -> Bool {
        let answer =
            await logins?.answer(
                question,
                from: client.endpoint.address,
                on: connection.loop,
                at: terms
            ) ?? .unavailable("nobody can log in now", rule: "login-unavailable")
        switch answer {
        case .keys(let keys, let nonce):
            return try await perform(session.loginKeys(keys, nonce: nonce))
        case .accepted(let name):
            let effect = session.loginAccepted(name)
            logLogin(mechanism, user: name, failure: nil)
            return try await perform(effect)
        case .refused(let delay, let lockedOut, let rule):
            logLogin(mechanism, user: question.user, failure: rule)
            if let lockedOut { logLockout(lockedOut, question.user) }
            try await hold(until: connection.loop.now() + delay)
            // The client is not told that it was right.
            return try await performLogged(session.loginRefused(rule: "login-failed"))
        case .unavailable(let text, let rule):
            logLogin(mechanism, user: question.user, failure: rule)
            return try await performLogged(session.loginUnavailable(text, rule: rule))
        }
    }

    /// Carries out a refusal that the log has already.
    private mutating func performLogged(_ effect: ServerEffect) async throws(IOFailure) -> Bool {
        if case .reject(let reply, let rule) = effect {
            return try await perform(.reply(reply.naming(rule)))
        }
        return try await perform(effect)
    }

    private mutating func logLogin(_ mechanism: SASLMechanism, user: String, failure: String?) {
        noteClient()
        events.emit(
            .login(
                .init(
                    client: client,
                    mechanism: mechanism.rawValue,
                    user: user,
                    failure: failure
                )
            ),
            at: connection.loop.wallNow()
        )
    }

    private func logLockout(_ lockedOut: FailureLedger.LockedOut, _ user: String) {
        let text =
            switch lockedOut {
            case .client:
                "\(client.endpoint.address.text) is locked out for a while: "
                    + "too many failed logins, the last as \(user)"
            case .user:
                "\(user) is locked out for a while for clients that failed before: "
                    + "too many failed logins, the last from \(client.endpoint.address.text)"
            }
        events.emit(.notice(.init(.warning, "login", text)), at: connection.loop.wallNow())
    }
}
