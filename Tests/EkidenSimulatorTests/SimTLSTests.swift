import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenSimulator

@Suite struct SimTLSTests {
    private func pass(_ from: any TLSEngine, _ to: any TLSEngine) {
        let bytes = from.drain()
        if !bytes.isEmpty { to.take(bytes.pointer) }
    }

    private func pair() throws -> (client: SimTLSEngine, server: SimTLSEngine) {
        let (client, server) = (SimTLSEngine(askingFor: "a.test"), SimTLSEngine())
        #expect(try !client.shakeHands())
        pass(client, server)
        #expect(try server.shakeHands())
        pass(server, client)
        #expect(try client.shakeHands())
        return (client, server)
    }

    @Test func `text goes through, byte by byte as well`() throws {
        let (client, server) = try pair()
        #expect(server.facts.serverName == "a.test")
        let text = (0..<40_000).map { UInt8(truncatingIfNeeded: $0) }
        try text.withUnsafeBytes { try client.write($0) }
        var read: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 7000)
        for byte in client.drain().array {
            [byte].withUnsafeBytes { server.take($0) }
            while case .bytes(let count) = try room.withUnsafeMutableBytes({
                try server.read(into: $0)
            }) {
                read += room[..<count]
            }
        }
        #expect(read == text)
        client.close()
        pass(client, server)
        #expect(try room.withUnsafeMutableBytes { try server.read(into: $0) } == .closed)
    }

    @Test func `what was not sent through the session is found out`() throws {
        let (_, server) = try pair()
        Array("MAIL FROM:<a@b.test>\r\n".utf8).withUnsafeBytes { server.take($0) }
        var room = [UInt8](repeating: 0, count: 100)
        #expect(throws: TLSFailure.self) {
            try room.withUnsafeMutableBytes { try server.read(into: $0) }
        }
        let fresh = SimTLSEngine()
        Array("EHLO a.test\r\n".utf8).withUnsafeBytes { fresh.take($0) }
        #expect(throws: TLSFailure.self) { try fresh.shakeHands() }
    }
}
