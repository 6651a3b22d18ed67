import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Synchronization
import Testing

@testable import EkidenDelivery

@Suite struct SessionCrewTests {
    /// In the order of a hash table two stops of the same relay would go differently.
    @Test func `connections end in the order of their handles`() {
        let world = SimWorld(seed: 1)
        let loop = world.loops[0]
        let crew = SessionCrew(loops: world.loops)
        let ended = Shared()
        for _ in 0..<40 {
            loop.spawn {
                let handle = loop.makeHandle()
                crew.join(handle, on: loop)
                _ = await loop.wait(handle, for: .readable)
                ended.add(handle)
            }
        }
        world.run(for: .seconds(1))
        #expect(ended.all.isEmpty)
        loop.call { crew.stopSending() }
        world.run(for: .seconds(1))
        #expect(ended.all.count == 40 && ended.all == ended.all.sorted())
    }
}

private final class Shared: Sendable {
    private let handles = Mutex<[Handle]>([])
    func add(_ handle: Handle) { handles.withLock { $0.append(handle) } }
    var all: [Handle] { handles.withLock { $0 } }
}
