import EkidenMail
import EkidenRuntime
import Glibc
import Synchronization
import Testing

@testable import EkidenLinux

private let question = NameQuestion(name: "mx.example.test", type: 1)

private enum Outcome: Sendable, Equatable {
    case packet([UInt8])
    case failure(NameTransportFailure)

    var code: UInt8? { if case .packet(let bytes) = self { bytes[3] & 15 } else { nil } }
    var records: Int? {
        if case .packet(let bytes) = self { Int(bytes[6]) << 8 | Int(bytes[7]) } else { nil }
    }
}

/// One loop, a transport with these servers, and what it answers.
private struct Setting {
    let world: LinuxLoops
    let workers = WorkQueue(name: "test-work", threads: 1)
    let transport: UDPNameTransport

    init(
        _ servers: [Endpoint],
        timeout: Duration = .milliseconds(400),
        attempts: Int = 2
    ) throws {
        world = try LinuxLoops(count: 1)
        var settings = NameServerSettings()
        settings.servers = servers
        settings.timeout = timeout
        settings.attempts = attempts
        transport = UDPNameTransport(settings: settings, random: LinuxRandom(), workers: workers)
    }

    func ask(
        _ question: NameQuestion = question,
        within time: Duration = .seconds(10)
    ) async -> Outcome {
        let (loop, transport) = (world.loops[0], transport)
        return await Task.detached(executorPreference: loop) {
            do throws(NameTransportFailure) {
                let deadline = loop.now() + time
                return .packet(try await transport.ask(question, on: loop, until: deadline))
            } catch { return .failure(error) }
        }.value
    }

    /// The same with the time it took on the loop: what the test's own thread waits for in between
    /// is not the transport's.
    func timedAsk(within time: Duration) async -> (outcome: Outcome, took: Duration) {
        let (loop, transport) = (world.loops[0], transport)
        return await Task.detached(executorPreference: loop) {
            let began = loop.now()
            do throws(NameTransportFailure) {
                let answer = try await transport.ask(question, on: loop, until: began + time)
                return (.packet(answer), loop.now() - began)
            } catch { return (.failure(error), loop.now() - began) }
        }.value
    }

    func end(_ servers: TestNameServer...) {
        for server in servers { server.stop() }
        world.stop()
        workers.close()
    }
}

/// A port on which nobody listens.
private func deadEndpoint() -> Endpoint {
    let server = TestNameServer { _, _ in [] }
    server.stop()
    return server.endpoint
}

@Suite(.timeLimit(.minutes(1))) struct UDPNameTransportTests {
    @Test(arguments: [HostAddress.loopback4, .loopback6])
    func `a question is answered`(address: HostAddress) async throws {
        let server = TestNameServer(address) { question, _ in [TestNameServer.reply(to: question)] }
        let setting = try Setting([server.endpoint])
        let outcome = await setting.ask()
        #expect(outcome.code == 0)
        #expect(outcome.records == 1)
        #expect(server.questions.count == 1)
        setting.end(server)
    }

    @Test func `names that don't exist come back as the packet says`() async throws {
        let server = TestNameServer { question, _ in
            [TestNameServer.reply(to: question, code: 3, records: 0)]
        }
        let setting = try Setting([server.endpoint])
        #expect(await setting.ask().code == 3)
        setting.end(server)
    }

    @Test func `packets that answer something else are passed over`() async throws {
        let server = TestNameServer { question, _ in
            let good = TestNameServer.reply(to: question)
            var wrongID = good
            wrongID[1] ^= 1
            var wrongName = good
            wrongName[13] ^= 1
            var wrongType = good
            wrongType[TestNameServer.questionEnd(question) - 3] = 28
            let echo = question
            let bare = Array(good[..<4]) + [0, 0, 0, 0, 0, 0, 0, 0]
            var shouting = good
            for i in 13..<15 { shouting[i] &= 0xdf }
            return [wrongID, wrongName, wrongType, echo, [], [1, 2, 3], bare, shouting]
        }
        let setting = try Setting([server.endpoint])
        let outcome = await setting.ask()
        #expect(outcome.records == 1)
        guard case .packet(let bytes) = outcome else { return setting.end(server) }
        #expect(bytes[13] == UInt8(ascii: "M"))
        #expect(server.questions.count == 1)
        setting.end(server)
    }

    @Test func `a truncated answer is fetched whole over TCP`() async throws {
        let server = TestNameServer { question, transport in
            transport == .udp
                ? [TestNameServer.reply(to: question, isTruncated: true, records: 0)]
                : [TestNameServer.reply(to: question, records: 4000)]
        }
        let setting = try Setting([server.endpoint])
        #expect(await setting.ask().records == 4000)
        #expect(server.questions.map(\.0) == [.udp, .tcp])
        setting.end(server)
    }

    @Test func `when TCP brings nothing the truncated answer is what there is`() async throws {
        let server = TestNameServer { question, transport in
            transport == .udp
                ? [TestNameServer.reply(to: question, isTruncated: true, records: 0)] : []
        }
        let setting = try Setting([server.endpoint])
        guard case .packet(let bytes) = await setting.ask() else {
            Issue.record("no packet")
            return setting.end(server)
        }
        #expect(bytes[2] & 2 == 2)
        setting.end(server)
    }

    @Test func `after silence the next server is asked, and the silent one last for a while`()
        async throws
    {
        let asked = Mutex<[String]>([])
        let silent = TestNameServer { _, _ in
            asked.withLock { $0.append("silent") }
            return []
        }
        let server = TestNameServer { question, _ in
            asked.withLock { $0.append("other") }
            return [TestNameServer.reply(to: question)]
        }
        // Long enough for the other one to get its turn on a busy machine.
        let setting = try Setting([silent.endpoint, server.endpoint], timeout: .seconds(4))
        #expect(await setting.ask().records == 1)
        #expect(await setting.ask().records == 1)
        #expect(asked.withLock { $0 } == ["silent", "other", "other"])
        setting.end(silent, server)
    }

    @Test(arguments: [UInt8(2), 5])
    func `after a failure the next server is asked`(code: UInt8) async throws {
        let failing = TestNameServer { question, _ in
            [TestNameServer.reply(to: question, code: code, records: 0)]
        }
        let server = TestNameServer { question, _ in [TestNameServer.reply(to: question)] }
        let setting = try Setting([failing.endpoint, server.endpoint])
        #expect(await setting.ask().records == 1)
        setting.end(failing, server)
    }

    @Test func `when all servers fail the last failure is the answer, each asked once`()
        async throws
    {
        let first = TestNameServer { question, _ in
            [TestNameServer.reply(to: question, code: 2, records: 0)]
        }
        let second = TestNameServer { question, _ in
            // Only a header, as some servers refuse.
            [
                Array(TestNameServer.reply(to: question, code: 5, records: 0)[..<4])
                    + [UInt8](repeating: 0, count: 8)
            ]
        }
        let setting = try Setting([first.endpoint, second.endpoint], attempts: 3)
        #expect(await setting.ask().code == 5)
        #expect(first.questions.count == 1)
        #expect(second.questions.count == 1)
        setting.end(first, second)
    }

    @Test func `where nobody listens the next server is asked at once`() async throws {
        let server = TestNameServer { question, _ in [TestNameServer.reply(to: question)] }
        let setting = try Setting([deadEndpoint(), server.endpoint], timeout: .seconds(30))
        let answer = await setting.timedAsk(within: .seconds(60))
        #expect(answer.outcome.records == 1)
        // Not after the thirty seconds a silent server would have had.
        #expect(answer.took < .seconds(10))
        setting.end(server)
    }

    @Test func `where nobody listens at all that is said`() async throws {
        let setting = try Setting([deadEndpoint()])
        guard case .failure(.unavailable(let why)) = await setting.ask() else {
            Issue.record("an answer from nobody")
            return setting.end()
        }
        #expect(why.contains("Connection refused"))
        setting.end()
    }

    @Test func `silence everywhere is a timeout after all attempts`() async throws {
        let silent = TestNameServer { _, _ in [] }
        let setting = try Setting([silent.endpoint], timeout: .milliseconds(50), attempts: 3)
        #expect(await setting.ask() == .failure(.timedOut))
        #expect(silent.questions.count == 3)
        // Each try has an id (and a port) of its own.
        #expect(Set(silent.questions.map { Array($0.1[..<2]) }).count > 1)
        setting.end(silent)
    }

    @Test func `the asker's deadline ends it`() async throws {
        let silent = TestNameServer { _, _ in [] }
        let setting = try Setting([silent.endpoint], timeout: .seconds(30))
        let answer = await setting.timedAsk(within: .milliseconds(50))
        #expect(answer.outcome == .failure(.timedOut))
        #expect(answer.took < .seconds(10))
        setting.end(silent)
    }

    @Test func `a server that knows no EDNS is asked without`() async throws {
        let server = TestNameServer { question, _ in
            let isPlain = question[11] == 0
            return [TestNameServer.reply(to: question, code: isPlain ? 0 : 1, records: 1)]
        }
        let setting = try Setting([server.endpoint])
        #expect(await setting.ask().code == 0)
        #expect(server.questions.map { $0.1[11] } == [1, 0])
        setting.end(server)
    }

    @Test func `names that can't be asked for are told apart`() async throws {
        let server = TestNameServer { question, _ in [TestNameServer.reply(to: question)] }
        let setting = try Setting([server.endpoint])
        let long = String(repeating: "a", count: 64)
        for name in ["", "a..b", "ä.test", "a\\.b", "a b", long + ".test"] {
            let outcome = await setting.ask(NameQuestion(name: name, type: 1))
            #expect(outcome == .failure(.unaskable), "\(name)")
        }
        let total = Array(repeating: String(repeating: "a", count: 50), count: 6)
            .joined(separator: ".")
        #expect(await setting.ask(NameQuestion(name: total, type: 1)) == .failure(.unaskable))
        #expect(server.questions.isEmpty)
        setting.end(server)
    }

    @Test func `a stop ends questions under way and to come`() async throws {
        let silent = TestNameServer { _, _ in [] }
        let setting = try Setting([silent.endpoint], timeout: .seconds(30))
        async let waiting = setting.ask(within: .seconds(60))
        while silent.questions.isEmpty { usleep(1000) }
        setting.transport.stop()
        #expect(await waiting == .failure(.unavailable("the relay is stopping")))
        #expect(await setting.ask() == .failure(.unavailable("the relay is stopping")))
        setting.end(silent)
    }

    @Test func `many questions at a time wait in line for sockets and are all answered`()
        async throws
    {
        let server = TestNameServer { question, _ in [TestNameServer.reply(to: question)] }
        let setting = try Setting([server.endpoint], timeout: .seconds(5))
        let answered = await withTaskGroup(of: Bool.self) { group in
            for i in 0..<(UDPNameTransport.socketsMax * 2) {
                group.addTask {
                    await setting.ask(NameQuestion(name: "n\(i).test", type: 1)).records == 1
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(answered == UDPNameTransport.socketsMax * 2)
        setting.end(server)
    }

    @Test func `resolv.conf is read again when it changes`() async throws {
        let path = "/tmp/ekiden-resolv-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        defer { unlink(path) }
        func write(_ text: String) {
            guard let file = fopen(path, "w") else { return }
            fputs(text, file)
            fclose(file)
        }
        write("nameserver 192.0.2.1\n")
        let workers = WorkQueue(name: "test-work", threads: 1)
        var settings = NameServerSettings()
        settings.path = path
        let servers = NameServers(settings, workers: workers)
        let start = Instant(nanoseconds: 0)
        #expect(servers.plan(at: start).servers == [Endpoint(.v4(0xc000_0201), 53)])
        write("nameserver 192.0.2.2\noptions timeout:7\n")
        // The last look was just now; the next one is due after the interval.
        #expect(servers.plan(at: start + .seconds(1)).servers == [Endpoint(.v4(0xc000_0201), 53)])
        _ = servers.plan(at: start + NameServers.checkInterval)
        workers.close()
        let plan = servers.plan(at: start + NameServers.checkInterval)
        #expect(plan.servers == [Endpoint(.v4(0xc000_0202), 53)])
        #expect(plan.timeout == .seconds(7))
    }
}
