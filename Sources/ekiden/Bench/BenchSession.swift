// One client of the benchmark: says what SMTP wants, notes when the final dot was out and when its
// 250 came. A refusal ends the message and the connection; the next message begins with a new one.

import EkidenMail
import Glibc

final class BenchSession {
    private enum Awaited {
        case connection
        case greeting
        case hello
        case mail
        case recipient(left: Int)
        case data
        case endOfData
        case quit
    }

    enum Outcome: Equatable {
        case goesOn
        /// A message was accepted; the time is from its dot to its 250.
        case accepted(nanoseconds: Int64)
        /// What the server said, or what became of the connection.
        case failed(String)
        /// The connection has ended after its last message.
        case ended
    }

    let socket: Socket
    private let plan: BenchPlan
    private let texts: BenchTexts
    private let poller: Poller
    private var awaited = Awaited.connection
    private var header: [UInt8]
    /// Bytes of header and body of the current message that are out; nil when none is going out.
    private var sentBytes: Int?
    private var dotTime: Int64 = 0
    private var partialLine: [UInt8] = []
    private let run: UInt64
    private let nextSequence: () -> Int?

    /// - Parameter nextSequence: hands out the messages; nil when there are no more.
    init(
        _ socket: Socket,
        plan: BenchPlan,
        texts: BenchTexts,
        run: UInt64,
        poller: Poller,
        nextSequence: @escaping () -> Int?
    ) {
        self.socket = socket
        self.plan = plan
        self.texts = texts
        self.run = run
        self.poller = poller
        self.nextSequence = nextSequence
        header = texts.header
        poller.add(socket, .writable)
    }

    /// The session has a message to answer for.
    private(set) var hasMessage = false
    private var sequence = 0

    func ready(_ interest: Poller.Interest, _ buffer: UnsafeMutableRawBufferPointer) -> Outcome {
        if case .connection = awaited {
            let code = socket.connectError
            if code != 0 { return .failed("can't connect: \(systemWords(code))") }
            awaited = .greeting
            poller.change(socket, .readable)
            return .goesOn
        }
        if sentBytes != nil, interest.contains(.writable), let problem = sendMessage() {
            return .failed(problem)
        }
        guard interest.contains(.readable), let count = socket.receive(into: buffer) else {
            return .goesOn
        }
        if count <= 0 {
            if case .quit = awaited { return .ended }
            return .failed("connection lost")
        }
        return take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }

    /// Goes through the reply lines in `bytes`. At most one message ends in them, because the next
    /// one is only begun with the reply to the last.
    private func take(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        var outcome = Outcome.goesOn
        var start = 0
        while start < bytes.count {
            guard let end = bytes[start...].firstIndex(of: 0x0a) else {
                partialLine += bytes[start...]
                break
            }
            var step = Outcome.goesOn
            if partialLine.isEmpty {
                step = line(bytes[start..<end])
            } else {
                partialLine += bytes[start..<end]
                let whole = partialLine
                partialLine = []
                step = whole.withUnsafeBytes { line($0[...]) }
            }
            switch step {
            case .goesOn: break
            case .accepted: outcome = step
            case .failed, .ended: return step
            }
            start = end + 1
        }
        return outcome
    }

    private func line(_ line: Slice<UnsafeRawBufferPointer>) -> Outcome {
        guard line.count >= 3 else { return .failed("not SMTP: \(words(line))") }
        if line.count > 3, line[line.startIndex + 3] == UInt8(ascii: "-") { return .goesOn }
        let digit = line[line.startIndex]
        let expected: UInt8
        if case .data = awaited {
            expected = UInt8(ascii: "3")
        } else {
            expected = UInt8(ascii: "2")
        }
        guard digit == expected else { return .failed(words(line)) }
        return advance()
    }

    private func words(_ line: Slice<UnsafeRawBufferPointer>) -> String {
        printable(String(decoding: line.prefix(200).filter { $0 != 0x0d }, as: UTF8.self))
    }

    /// The awaited reply came; says what is next.
    private func advance() -> Outcome {
        switch awaited {
        case .connection: return .goesOn
        case .greeting:
            awaited = .hello
            return say(texts.hello)
        case .hello: return begin()
        case .mail:
            awaited = .recipient(left: plan.recipients)
            return plan.pipelines ? .goesOn : say(texts.recipients[0])
        case .recipient(let left):
            if left > 1 {
                awaited = .recipient(left: left - 1)
                return plan.pipelines ? .goesOn : say(texts.recipients[plan.recipients - left + 1])
            }
            awaited = .data
            return plan.pipelines ? .goesOn : say(texts.data)
        case .data:
            awaited = .endOfData
            let now = monotonicNanoseconds()
            texts.stamp(&header, run: run, sequence: sequence, time: now)
            sentBytes = 0
            return sendMessage().map { .failed($0) } ?? .goesOn
        case .endOfData:
            hasMessage = false
            let took = monotonicNanoseconds() - dotTime
            let next = plan.keepsConnections ? begin() : quit()
            if case .failed = next { return next }
            return .accepted(nanoseconds: took)
        case .quit: return .ended
        }
    }

    private func begin() -> Outcome {
        guard let next = nextSequence() else { return quit() }
        sequence = next
        hasMessage = true
        awaited = .mail
        return say(plan.pipelines ? texts.envelope : texts.mail)
    }

    private func quit() -> Outcome {
        awaited = .quit
        return say(texts.quit)
    }

    /// Short words always fit: the server has read everything before it answered.
    private func say(_ bytes: [UInt8]) -> Outcome {
        bytes.withUnsafeBytes { socket.send($0) } == bytes.count
            ? .goesOn : .failed("connection lost")
    }

    /// Sends what is left of the message as far as the socket takes it; a problem in words.
    private func sendMessage() -> String? {
        let total = header.count + texts.body.count
        while let sent = sentBytes, sent < total {
            let count = sendParts(from: sent)
            if count < 0 { return "connection lost while sending" }
            if count == 0 {
                poller.change(socket, [.readable, .writable])
                isWaitingForRoom = true
                return nil
            }
            sentBytes = sent + count
        }
        sentBytes = nil
        dotTime = monotonicNanoseconds()
        if isWaitingForRoom {
            isWaitingForRoom = false
            poller.change(socket, .readable)
        }
        return nil
    }

    private var isWaitingForRoom = false

    private func sendParts(from offset: Int) -> Int {
        header.withUnsafeMutableBytes { header in
            texts.body.withUnsafeBytes { body in
                guard offset < header.count, let head = header.baseAddress else {
                    return socket.send(
                        UnsafeRawBufferPointer(rebasing: body[(offset - header.count)...])
                    )
                }
                var parts = [
                    iovec(iov_base: head + offset, iov_len: header.count - offset),
                    iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: body.baseAddress),
                        iov_len: body.count
                    ),
                ]
                let count = writev(socket.descriptor, &parts, 2)
                if count >= 0 { return count }
                return errno == EAGAIN || errno == EINTR ? 0 : -1
            }
        }
    }
}
