// Tokens of commands: one run for all who ask, and none while there is a token that is good.

import EkidenDelivery
import EkidenRuntime
import EkidenSimulator
import Synchronization
import Testing

@testable import EkidenRelay

@Suite struct KeptTokensTests {
    private let command = ["/usr/local/bin/get-token", "x"]

    /// A command that takes a second, gives "token 1", "token 2", … and fails at the runs named.
    private final class Source: Sendable {
        private let state = Mutex((runs: 0, answers: [String]()))
        let tokens = KeptTokens()
        let failing: Set<Int>

        init(failing: Set<Int> = []) { self.failing = failing }

        func ask(_ command: [String], on loop: Loop) async -> KeptTokens.Token? {
            do throws(LoginTrouble) {
                let token = try await tokens.token(
                    of: command,
                    lifetime: .seconds(100),
                    on: loop
                ) {
                    let run = state.withLock { state in
                        state.runs += 1
                        return state.runs
                    }
                    await loop.sleep(for: .seconds(1))
                    return failing.contains(run)
                        ? .failure(LoginTrouble("run \(run) failed")) : .success("token \(run)")
                }
                state.withLock { $0.answers.append(token.text + (token.isKept ? ", kept" : "")) }
                return token
            } catch {
                state.withLock { $0.answers.append(error.text) }
                return nil
            }
        }

        var runs: Int { state.withLock { $0.runs } }
        var answers: [String] { state.withLock { $0.answers } }
    }

    private func play(
        _ source: Source,
        _ story: @escaping @Sendable (Loop) async -> Void
    ) throws -> [String] {
        let world = SimWorld(seed: 1)
        let loop = world.loops[0]
        try world.run {
            await story(loop)
            await loop.sleep(for: .seconds(1000))
        }
        return source.answers
    }

    @Test func `who asks while a command runs gets what it brings, a failure too`() throws {
        let source = Source(failing: [1])
        let command = command
        let answers = try play(source) { loop in
            for _ in 0..<3 { loop.spawn { _ = await source.ask(command, on: loop) } }
            await loop.sleep(for: .seconds(2))
            for _ in 0..<3 { loop.spawn { _ = await source.ask(command, on: loop) } }
            await loop.sleep(for: .seconds(2))
            _ = await source.ask(command, on: loop)
            // Another command is another matter.
            _ = await source.ask(command + ["y"], on: loop)
        }
        #expect(source.runs == 3)
        #expect(answers.prefix(3) == ["run 1 failed", "run 1 failed", "run 1 failed"])
        #expect(answers.dropFirst(3).prefix(3) == ["token 2", "token 2", "token 2"])
        #expect(answers.suffix(2) == ["token 2, kept", "token 3"])
    }

    @Test func `a token is kept until it is old or forgotten, by who had that one`() throws {
        let source = Source()
        let command = command
        let answers = try play(source) { loop in
            _ = await source.ask(command, on: loop)
            await loop.sleep(for: .seconds(90))
            _ = await source.ask(command, on: loop)
            await loop.sleep(for: .seconds(20))
            _ = await source.ask(command, on: loop)
            // Refused elsewhere, before there was the second.
            source.tokens.forget("token 1", of: command)
            _ = await source.ask(command, on: loop)
            source.tokens.forget("token 2", of: command)
            _ = await source.ask(command, on: loop)
            source.tokens.keep(only: [command])
            _ = await source.ask(command, on: loop)
            source.tokens.keep(only: [])
            _ = await source.ask(command, on: loop)
        }
        #expect(
            answers == [
                "token 1", "token 1, kept", "token 2", "token 2, kept", "token 3",
                "token 3, kept", "token 4",
            ]
        )
    }
}
