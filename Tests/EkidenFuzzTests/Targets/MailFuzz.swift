// Both sides of SMTP, and the header section.

import EkidenMail
import EkidenRewriting
import EkidenSMTP
import TestKit

enum MailFuzz {
    // MARK: The server

    static func server(_ input: [UInt8]) {
        let input = FuzzInput(input)
        var settings = ServerSettings(hostName: "relay.example", errors: 1000, commands: 1000)
        settings.offersTLS = input.has(5)
        settings.requiresTLS = input.has(5) && input.has(6)
        settings.auth = AuthSettings(isRequired: input.has(6) && !input.has(5))
        let whole = talk(settings, input, [input.bytes])
        let cut = talk(settings, input, input.pieces)
        // RFC 2920: what follows DATA or STARTTLS in one piece may be taken ill, so only the
        // messages of sessions that both went on to the end are the same.
        if !whole.isClosed, !cut.isClosed {
            demand(whole.messages == cut.messages, "cut elsewhere, other messages came")
            demand(whole.envelopes == cut.envelopes, "cut elsewhere, other envelopes came")
        }
    }

    private static func talk(
        _ settings: ServerSettings,
        _ input: FuzzInput,
        _ pieces: [[UInt8]]
    ) -> ServerDriver {
        var driver = ServerDriver(
            settings,
            security: input.has(7) ? ServerDriver.tls : nil,
            certificateLogin: input.has(7) ? "anna" : nil,
            mayLogInWithoutTLS: input.has(6)
        )
        driver.session.mayOverride = true
        for piece in pieces where !driver.isClosed {
            driver.receive(piece)
            checkReplies(driver.takeOutput())
        }
        for message in driver.messages { checkLines(message) }
        return driver
    }

    /// RFC 5321 §4.2, §4.5.3.1.5: each line has a code, printable text, CRLF, and at most 512 bytes.
    private static func checkReplies(_ output: [UInt8]) {
        var rest = output[...]
        while !rest.isEmpty {
            guard let end = rest.firstIndex(of: 10), end > rest.startIndex, rest[end - 1] == 13
            else { return demand(false, "a reply without its CRLF") }
            let line = Array(rest[..<(end - 1)])
            rest = rest[(end + 1)...]
            // A challenge is as long as its mechanism makes it (RFC 4954 §4: up to 12288).
            let most = line.starts(with: Array("334".utf8)) ? 12_288 : 510
            demand(line.count <= most, "a reply line of \(line.count) bytes")
            demand(line.count >= 3 && line[..<3].allSatisfy { (48...57).contains($0) }, "no code")
            demand(line.count == 3 || line[3] == 0x20 || line[3] == 0x2d, "no space")
            demand(line.allSatisfy { (0x20...0x7e).contains($0) }, "unprintable")
        }
    }

    /// Whatever is taken has CRLF lines and nothing else (RFC 5321 §2.3.8).
    private static func checkLines(_ message: [UInt8]) {
        var last: UInt8 = 10
        for byte in message {
            demand(byte != 10 || last == 13, "a bare LF came through")
            demand(last != 13 || byte == 10, "a bare CR came through")
            last = byte
        }
        demand(last == 10, "an unfinished line came through")
    }

    // MARK: A message

    static func body(_ input: [UInt8]) {
        let input = FuzzInput(input)
        let framing: BodyReceiver.Framing = input.has(5) ? .counted : .dotStuffed
        let newlines: BodyReceiver.Newlines = input.has(6) ? .lenient : .strict
        let limit = input.has(7) ? 200 : nil
        func take(_ pieces: [[UInt8]]) -> (BodyReceiver, bytes: [UInt8], left: [UInt8]) {
            var receiver = BodyReceiver(
                framing: framing,
                newlines: newlines,
                sizeLimitBytes: limit,
                lineLimitBytes: 100
            )
            var message: [UInt8] = []
            var left: [UInt8] = []
            for piece in pieces {
                if receiver.isFinished {
                    left += piece
                    continue
                }
                let (count, run) = receiver.take(piece)
                message += run
                left += piece[count...]
            }
            if framing == .counted { message += receiver.finish() }
            return (receiver, message, left)
        }
        let (whole, bytes, left) = take([input.bytes])
        let (cut, sameBytes, sameLeft) = take(input.pieces)
        demand(whole.isFinished == cut.isFinished, "cut elsewhere, it ends elsewhere")
        demand(whole.problem == cut.problem, "cut elsewhere, it is refused otherwise")
        demand(whole.messageBytes == cut.messageBytes, "cut elsewhere, it has another size")
        demand(left == sameLeft, "cut elsewhere, it ends elsewhere")
        guard whole.isFinished, whole.problem == nil else { return }
        demand(bytes == sameBytes, "cut elsewhere, it is another message")
        demand(bytes.count == whole.messageBytes, "the size is another than was counted")
        checkLines(bytes)
    }

    static func header(_ input: [UInt8]) {
        let input = FuzzInput(input)
        let whole = rewrite([input.bytes], input)
        let cut = rewrite(input.pieces, input)
        demand((whole == nil) == (cut == nil), "cut elsewhere, it is refused otherwise")
        guard let whole, let cut else { return }
        demand(whole.header.block.array == cut.header.block.array, "cut elsewhere, another header")
        demand(whole.body == cut.body, "cut elsewhere, another body")
        demand(whole.header.findings == cut.header.findings, "cut elsewhere, other findings")
        let text = String(decoding: whole.header.block.array, as: UTF8.self)
        demand(text.hasPrefix("Received: "), "no Received field in front")
        for line in text.split(separator: "\n") {
            let name = line.prefix { $0 != ":" && $0 != " " && $0 != "\t" }
            demand(!line.contains(":") || name.lowercased() != "bcc", "a Bcc field was left")
        }
    }

    private static func rewrite(
        _ pieces: [[UInt8]],
        _ input: FuzzInput
    ) -> (header: RewrittenHeader, body: [UInt8])? {
        var rewriter = HeaderRewriter(
            RewriteRules(
                received: ReceivedFacts(
                    helo: "client.example",
                    client: .v4(0x0a00_0001),
                    byHost: "relay.example",
                    inboundProtocol: .smtp,
                    id: QueueID(number: 7),
                    forRecipient: nil,
                    date: WallTime(nanoseconds: 1_795_000_000_000_000_000)
                ),
                addsMissingFields: input.has(5),
                headerBlockBytes: 4000,
                receivedFields: 10
            )
        )
        var body: [UInt8] = []
        for piece in pieces {
            if rewriter.isComplete {
                body += piece
                continue
            }
            do {
                let taken = try piece.withUnsafeBytes { try rewriter.append($0) }
                body += piece[taken...]
            } catch { return nil }
        }
        let header = rewriter.finish()
        return (header, header.bodyStart.array + body)
    }

    // MARK: A mail host

    static func replies(_ input: [UInt8]) {
        let input = FuzzInput(input)
        let whole = read([input.bytes])
        let cut = read(input.pieces)
        demand(whole.replies == cut.replies, "cut elsewhere, other replies")
        demand(whole.isBroken == cut.isBroken, "cut elsewhere, broken otherwise")
        for reply in whole.replies {
            let text = reply.lines.joined()
            demand(text.utf8.allSatisfy { (0x20...0x7e).contains($0) }, "unprintable text is kept")
            demand((200...599).contains(reply.code), "no such code: \(reply.code)")
        }
    }

    private static func read(_ pieces: [[UInt8]]) -> (replies: [Reply], isBroken: Bool) {
        var reader = ReplyReader()
        var unread: [UInt8] = []
        var replies: [Reply] = []
        for piece in pieces {
            unread += piece
            while true {
                let found = unread.withUnsafeBytes { reader.next(in: $0) }
                switch found {
                case .nothing(let consume):
                    unread.removeFirst(consume)
                case .reply(let reply, let consume):
                    unread.removeFirst(consume)
                    replies.append(reply)
                    continue
                case .protocolError: return (replies, true)
                }
                break
            }
        }
        return (replies, false)
    }

    /// Every recipient has one outcome, whatever the host says, and the talk ends.
    static func delivery(_ input: [UInt8]) {
        let input = FuzzInput(input)
        var replies = read([input.bytes]).replies[...]
        let host = PeerHost(name: "mx.example", endpoint: Endpoint(.v4(0x0a00_0002), 25))
        let level: TLSPolicy.Level = input.has(5) ? input.has(6) ? .encrypt : .may : .none
        var session = ClientSession(
            helloName: "relay.example",
            host: host,
            tls: TLSPolicy(level),
            login: input.has(7) && level == .encrypt
                ? ClientLogin(name: "l", user: "u", secret: .password([0x70]), nonce: "n") : nil
        )
        var output = BytesBuilder()
        greeting: while true {
            switch session.next(into: &output) {
            case .send: continue
            case .awaitReply:
                guard let reply = replies.popFirst() else {
                    session.connectionFailed(.connectionLost)
                    continue
                }
                session.received(reply)
            case .secure: session.secured(TLSFacts(version: "TLSv1.3", cipher: "C"))
            case .derive: session.derived([UInt8](repeating: 1, count: 32))
            case .ready:
                demand(level != .encrypt || session.security != nil, "mail goes in the clear")
                break greeting
            case .failed, .closed: return
            }
        }
        let count = 1 + input.choice & 3
        var demands = SenderDemands()
        demands.smtpUTF8 = input.has(4)
        var transaction = ClientTransaction(
            sender: .null,
            recipients: (0..<count).map {
                Address(localPart: "r\($0)", domain: Domain("b.example"))
            },
            demands: demands,
            byteCount: 100,
            facts: MessageFacts(),
            extensions: session.extensions,
            host: host
        )
        talk: while true {
            switch transaction.next(into: &output) {
            case .send: continue
            case .sendMessage: transaction.finalDotSent()
            case .awaitReply:
                guard let reply = replies.popFirst() else {
                    transaction.connectionFailed(.connectionLost)
                    continue
                }
                transaction.received(reply)
            case .finished: break talk
            }
        }
        demand(transaction.results.count == count, "a recipient without an outcome")
    }
}
