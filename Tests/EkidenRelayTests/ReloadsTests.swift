import EkidenRuntime
import EkidenSimulator
import Synchronization
import Testing

@testable import EkidenRelay

@Suite struct ReloadsTests {
    private final class Diary: Sendable {
        private let state = Mutex((running: 0, most: 0, begun: 0, answers: [String]()))

        func begin() -> Int {
            state.withLock { state in
                state.running += 1
                state.most = max(state.most, state.running)
                state.begun += 1
                return state.begun
            }
        }

        func end() { state.withLock { $0.running -= 1 } }
        func told(_ text: String) { state.withLock { $0.answers.append(text) } }
        var most: Int { state.withLock { $0.most } }
        var begun: Int { state.withLock { $0.begun } }
        var answers: [String] { state.withLock { $0.answers } }
    }

    /// Asks at these milliseconds for reloads that take 100 each, and says what each was told.
    private func ask(at moments: [Int]) throws -> Diary {
        let world = SimWorld(seed: 1)
        let loop = world.loops[0]
        let diary = Diary()
        let reloads = Reloads(on: loop)
        try world.run {
            for (index, moment) in moments.enumerated() {
                loop.spawn {
                    await loop.sleep(for: .milliseconds(moment))
                    let outcome = await reloads.run {
                        let number = diary.begin()
                        await loop.sleep(for: .milliseconds(100))
                        diary.end()
                        return .success("reload \(number)")
                    }
                    diary.told("\(index): \((try? outcome.get()) ?? "failed")")
                }
            }
            await loop.sleep(for: .seconds(10))
        }
        return diary
    }

    @Test func `one at a time, and whoever asks meanwhile shares the next`() throws {
        let diary = try ask(at: [0, 10, 20, 150, 199])
        #expect(diary.most == 1 && diary.begun == 3)
        #expect(
            diary.answers
                == ["0: reload 1", "1: reload 2", "2: reload 2", "3: reload 3", "4: reload 3"]
        )
    }

    @Test func `after a pause the next one runs at once`() throws {
        let diary = try ask(at: [0, 300, 600])
        #expect(diary.answers == ["0: reload 1", "1: reload 2", "2: reload 3"])
    }
}
