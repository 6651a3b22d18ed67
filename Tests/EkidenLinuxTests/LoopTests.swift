import EkidenLinux
import EkidenMail
import EkidenRuntime
import Synchronization
import Testing

/// Longer than anything takes: other tests may hold the processor, and the threads that `async let`
/// needs, for half a minute on a small machine.
private let patience = Duration.seconds(600)

/// Runs `body` on a loop and waits for its result.
private func on<T: Sendable>(
    _ loop: Loop,
    _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await Task.detached(executorPreference: loop) { try await body() }.value
}

private func listen(_ loop: Loop, _ address: HostAddress = .loopback4) throws -> (Handle, Endpoint)
{
    let handle = loop.makeHandle()
    let result = loop.backend.listen(handle, on: Endpoint(address, 0), backlog: 16)
    try #require(result == 0)
    return (handle, try #require(loop.backend.localEndpoint(handle)))
}

private func acceptOne(_ loop: Loop, _ listener: Handle) async throws -> Connection {
    while true {
        let wake = await loop.wait(listener, for: .readable)
        try #require(wake == .ready)
        switch loop.backend.accept(listener) {
        case .success(let socket): return Connection(adopting: socket, on: loop)
        case .failure(let error):
            try #require(error.isWouldBlock)
            loop.clear(.readable, of: listener)
        }
    }
}

@Suite struct LoopTests {
    @Test(arguments: [HostAddress.loopback4, .loopback6])
    func `bytes go round between two loops`(address: HostAddress) async throws {
        let world = try LinuxLoops(count: 2)
        let (a, b) = (world.loops[0], world.loops[1])
        let (listener, endpoint) = try await on(a) { try listen(a, address) }
        let received = Mutex(0)
        async let server: Void = on(a) {
            var connection = try await acceptOne(a, listener)
            while try await connection.fill() {
                let unread = connection.unread
                received.withLock { $0 += unread.count }
                connection.queue(unread)
                connection.consume(unread.count)
            }
            try await connection.flush()
            #expect(a.isCurrent)
        }
        let size = 3_000_000
        let echoed = try await on(b) { () -> Int in
            var connection = try await Connection.connect(
                to: endpoint,
                on: b,
                until: b.now() + patience
            )
            connection.setDeadline(b.now() + patience)
            let block = Bytes([UInt8](repeating: 65, count: 60_000))
            var total = 0
            for _ in 0..<(size / block.count) {
                try await connection.send([block])
                var missing = block.count
                while missing > 0 {
                    guard try await connection.fill() else { return total }
                    let n = connection.unread.count
                    connection.consume(n)
                    missing -= n
                    total += n
                }
            }
            #expect(b.isCurrent)
            return total
        }
        #expect(echoed == size)
        try await server
        #expect(received.withLock { $0 } == size)
        try await on(a) {
            a.backend.close(listener)
            a.releaseHandle(listener)
        }
        world.stop()
    }

    @Test func `a refused connection is told as refused`() async throws {
        let world = try LinuxLoops(count: 1)
        let loop = world.loops[0]
        let failure = try await on(loop) { () -> IOFailure? in
            let (listener, endpoint) = try listen(loop)
            loop.backend.close(listener)
            loop.releaseHandle(listener)
            do throws(IOFailure) {
                _ = try await Connection.connect(to: endpoint, on: loop, until: .distantFuture)
                return nil
            } catch { return error }
        }
        #expect(failure == .refused)
        world.stop()
    }

    @Test func `a deadline ends a read, and may be moved earlier while it waits`() async throws {
        let world = try LinuxLoops(count: 1)
        let loop = world.loops[0]
        try await on(loop) {
            let (listener, endpoint) = try listen(loop)
            var client = try await Connection.connect(
                to: endpoint,
                on: loop,
                until: loop.now() + patience
            )
            let server = try await acceptOne(loop, listener)
            client.setDeadline(loop.now() + .seconds(3600))
            let handle = client.handle
            loop.spawn {
                await loop.sleep(for: .milliseconds(20))
                loop.setDeadline(handle, loop.now() + .milliseconds(5))
            }
            var failure: IOFailure?
            do throws(IOFailure) { _ = try await client.fill() } catch { failure = error }
            #expect(failure == .timedOut)
            loop.spawn {
                await loop.sleep(for: .milliseconds(5))
                loop.cancel(handle)
            }
            loop.setDeadline(handle, .distantFuture)
            do throws(IOFailure) { _ = try await client.fill() } catch { failure = error }
            #expect(failure == .cancelled)
            _ = server.peer
            loop.backend.close(listener)
            loop.releaseHandle(listener)
        }
        world.stop()
    }

    @Test func `signals from other threads wake a waiter and are not lost before it waits`()
        async throws
    {
        let world = try LinuxLoops(count: 2)
        let (a, b) = (world.loops[0], world.loops[1])
        let handle = try await on(a) { a.makeHandle() }
        let count = Mutex(0)
        let finished = Mutex(false)
        a.spawn {
            while true {
                guard await a.wait(handle, for: .signalled) == .ready else { break }
                a.clear(.signalled, of: handle)
                count.withLock { $0 += 1 }
            }
            finished.withLock { $0 = true }
        }
        try await on(b) {
            for n in 1...200 {
                a.signal(handle)
                while count.withLock({ $0 }) < n { await b.sleep(for: .microseconds(50)) }
            }
        }
        #expect(count.withLock { $0 } == 200)
        try await on(a) { a.releaseHandle(handle) }
        try await on(b) {
            while !finished.withLock({ $0 }) { await b.sleep(for: .milliseconds(1)) }
        }
        world.stop()
    }

    @Test func `timers fire in order however they were set`() async throws {
        let world = try LinuxLoops(count: 1)
        let loop = world.loops[0]
        let order = Mutex<[Int]>([])
        try await on(loop) {
            let start = loop.now()
            for i in [5, 1, 4, 2, 3] {
                loop.spawn {
                    await loop.sleep(until: start + .milliseconds(20 * i))
                    order.withLock { $0.append(i) }
                }
            }
            await loop.sleep(until: start + .milliseconds(160))
        }
        #expect(order.withLock { $0 } == [1, 2, 3, 4, 5])
        world.stop()
    }
}
