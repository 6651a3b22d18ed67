import EkidenMail
import Testing

@testable import EkidenControl

/// Answers a queue request with `rows` rows in pages of `page`, and refuses all else.
private struct ListHandler: ControlHandler {
    var rows = 0
    var page = 3

    func page(
        of request: ControlRequest,
        after cursor: ControlCursor?,
        for peer: ControlPeer
    ) async throws(ControlProblem) -> ControlPage {
        guard case .queue = request else {
            throw ControlProblem(.denied, "uid \(peer.uid) may not \(request.name)")
        }
        let start = cursor?.number ?? 0
        let end = min(UInt64(rows), start + UInt64(page))
        let lines = (start..<end).map { row($0 + 1) }
        return ControlPage(
            rows: lines,
            rest: end < rows
                ? .more(ControlCursor(number: end)) : .end(ControlEnd(count: rows))
        )
    }
}

private func feed(_ session: inout ControlServerSession, _ text: String) {
    Array(text.utf8).withUnsafeBytes { session.receive($0) }
}

private func kinds(_ bytes: Bytes?) throws -> [String] {
    guard let bytes else { return [] }
    return try bytes.text.split(separator: "\n").map { line in
        try Array(line.utf8).withUnsafeBytes { try ControlLine($0).kind }
    }
}

@Suite struct ControlServerTests {
    private func session(_ handler: ListHandler) -> ControlServerSession {
        ControlServerSession(handler: handler, peer: ControlPeer(uid: 33, gid: 33, pid: 1))
    }

    @Test func anAnswerComesPageByPageAndEnds() async throws {
        var session = session(ListHandler(rows: 7))
        #expect(await session.next() == nil)
        feed(&session, ControlRequest.queue(QueueQuery()).line.text)
        #expect(try kinds(await session.next()) == ["message", "message", "message"])
        #expect(try kinds(await session.next()) == ["message", "message", "message"])
        #expect(try kinds(await session.next()) == ["message", "end"])
        #expect(await session.next() == nil)
        #expect(!session.isClosed)
    }

    @Test func requestsMayComeByteByByteAndSeveralAtOnce() async throws {
        var session = session(ListHandler(rows: 1))
        let line = ControlRequest.queue(QueueQuery()).line.text
        for character in line.dropLast() {
            feed(&session, String(character))
            #expect(await session.next() == nil)
        }
        feed(&session, "\n" + line)
        #expect(try kinds(await session.next()) == ["message", "end"])
        #expect(try kinds(await session.next()) == ["message", "end"])
        #expect(await session.next() == nil)
    }

    @Test func aRefusalEndsTheAnswerAndTheSessionGoesOn() async throws {
        var session = session(ListHandler(rows: 1))
        feed(&session, ControlRequest.reload.line.text)
        let bytes = await session.next()
        #expect(bytes?.text.contains("uid 33 may not reload") == true)
        #expect(try kinds(bytes) == ["error"])
        #expect(!session.isClosed)
        feed(&session, ControlRequest.queue(QueueQuery()).line.text)
        #expect(try kinds(await session.next()) == ["message", "end"])
    }

    @Test func whatIsNoRequestIsAnsweredOnceAndClosesTheSession() async throws {
        var session = session(ListHandler())
        feed(&session, "GET / HTTP/1.1\r\nHost: x\r\n")
        #expect(try kinds(await session.next()) == ["error"])
        #expect(session.isClosed)
        feed(&session, ControlRequest.status.line.text)
        #expect(await session.next() == nil)
    }

    @Test func anEndlessRequestIsRefused() async throws {
        var session = session(ListHandler())
        feed(&session, String(repeating: "x", count: ControlServerSession.requestBytes + 1))
        #expect(try kinds(await session.next()) == ["error"])
        #expect(session.isClosed)
    }
}
