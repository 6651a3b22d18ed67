/// A field of a log line.
package enum EventField: Sendable, Equatable {
    case text(String, String)
    case integer(String, Int)
    /// In seconds, with microseconds.
    case seconds(String, Duration)
    case list(String, [String])

    package var name: String {
        switch self {
        case .text(let name, _), .integer(let name, _), .seconds(let name, _), .list(let name, _):
            name
        }
    }
}

extension Event {
    /// The first word of a line, and `event` in JSON.
    package var name: String {
        switch self {
        case .accepted: "accepted"
        case .attempt(let a): a.status.rawValue
        case .rejected: "rejected"
        case .login: "login"
        case .moved: "moved"
        case .site: "site"
        case .notice: "notice"
        }
    }

    package var level: EventLevel {
        switch self {
        case .accepted, .moved: .info
        case .attempt(let a):
            a.status == .bounced || a.status == .expired ? .warning : .info
        case .rejected, .login: .info
        case .site(let s): s.state == "open" ? .info : .warning
        case .notice(let n): n.level
        }
    }

    /// The fields in reading order; absent ones are left out. docs/LOG.md lists them.
    package var fields: [EventField] {
        switch self {
        case .accepted(let e): Self.fields(e)
        case .attempt(let e): Self.fields(e)
        case .rejected(let e): Self.fields(e)
        case .login(let e): Self.fields(e)
        case .moved(let e): Self.fields(e)
        case .site(let e): Self.fields(e)
        case .notice(let e):
            [.text("part", e.part)] + (e.id.map { [.text("id", $0.text)] } ?? [])
                + [.text("text", e.text)]
        }
    }

    private static func fields(_ e: Accepted) -> [EventField] {
        var fields: [EventField] = [
            .text("id", e.id.text),
            .text("from", "<\(e.sender.text)>"),
        ]
        if e.recipients.count == 1 {
            fields.append(.text("to", "<\(e.recipients[0].text)>"))
        } else {
            fields.append(.list("to", e.recipients.map { "<\($0.text)>" }))
        }
        fields.append(.integer("size", e.byteCount))
        if e.client.inboundProtocol == .local {
            // A report of ours: nobody connected to bring it.
            fields.append(.text("with", e.client.inboundProtocol.text))
        } else {
            fields += [
                .text("client", e.client.endpoint.text),
                .text("helo", e.client.helo),
                .text("with", e.client.inboundProtocol.text),
                .text("listener", e.client.listener),
            ]
            if let name = e.client.reverseName { fields.append(.text("rdns", name)) }
            fields += Self.fields(e.client.tls)
            if let login = e.client.login { fields.append(.text("login", login)) }
        }
        if !e.messageID.isEmpty { fields.append(.text("message-id", e.messageID)) }
        if let about = e.about { fields.append(.text("about", about.text)) }
        if e.client.inboundProtocol != .local { fields.append(.seconds("took", e.took)) }
        return fields
    }

    /// Version and cipher, and whose certificate the other side showed.
    private static func fields(_ tls: TLSFacts?) -> [EventField] {
        guard let tls else { return [] }
        var fields: [EventField] = [.text("tls", tls.text)]
        if let peer = tls.peer {
            fields.append(.text("cert", "sha256:" + peer.fingerprint))
            fields.append(.text("verify", peer.isTrusted ? "ok" : peer.problem))
        }
        return fields
    }

    private static func fields(_ e: Attempt) -> [EventField] {
        var fields: [EventField] = [
            .text("id", e.id.text),
            .text("from", "<\(e.sender.text)>"),
            .text("to", "<\(e.recipient.text)>"),
            .integer("attempt", e.attempt),
        ]
        if let host = e.host { fields.append(.text("host", host.text)) }
        if let site = e.site { fields.append(.text("site", site.text)) }
        fields += e.tls == nil ? [.text("tls", "none")] : Self.fields(e.tls)
        if e.isConverted { fields.append(.text("converted", "7bit")) }
        fields += [
            .text(
                "delay",
                "\(seconds(e.queueTime))/\(seconds(e.connectTime))/\(seconds(e.transferTime))"
            )
        ]
        if e.status != .delivered { fields.append(.text("because", e.reason.rawValue)) }
        if let failureClass = e.failureClass {
            fields.append(.text("class", failureClass.rawValue))
        }
        if let step = e.step { fields.append(.text("step", step.rawValue)) }
        fields.append(.text("reply", e.words))
        if let next = e.next { fields.append(.text("next", next.timestamp)) }
        return fields
    }

    private static func fields(_ e: Rejected) -> [EventField] {
        var fields: [EventField] = []
        if let id = e.id { fields.append(.text("id", id.text)) }
        fields.append(.text("client", e.client.endpoint.text))
        if !e.client.helo.isEmpty { fields.append(.text("helo", e.client.helo)) }
        fields.append(.text("listener", e.client.listener))
        if let name = e.client.reverseName { fields.append(.text("rdns", name)) }
        fields += Self.fields(e.client.tls)
        if let login = e.client.login { fields.append(.text("login", login)) }
        if let sender = e.sender { fields.append(.text("from", "<\(sender.text)>")) }
        if let recipient = e.recipient { fields.append(.text("to", "<\(recipient)>")) }
        fields.append(.text("rule", e.rule))
        if let entry = e.entry { fields.append(.text("entry", entry)) }
        fields.append(.text("reply", e.reply.oneLine))
        return fields
    }

    private static func fields(_ e: Login) -> [EventField] {
        var fields: [EventField] = [
            .text("user", e.user),
            .text("result", e.failure == nil ? "ok" : "failed"),
        ]
        if let rule = e.failure { fields.append(.text("rule", rule)) }
        fields += [
            .text("mechanism", e.mechanism),
            .text("client", e.client.endpoint.text),
            .text("helo", e.client.helo),
            .text("with", e.client.inboundProtocol.text),
            .text("listener", e.client.listener),
        ]
        return fields
    }

    private static func fields(_ e: Moved) -> [EventField] {
        var fields: [EventField] = [.text("id", e.id.text)]
        if let recipient = e.recipient { fields.append(.text("to", "<\(recipient.text)>")) }
        fields += [.text("state", e.state), .text("because", e.reason.rawValue)]
        if let route = e.route { fields.append(.text("route", route)) }
        if let until = e.until { fields.append(.text("until", until.timestamp)) }
        if let uid = e.uid { fields.append(.integer("uid", Int(uid))) }
        return fields
    }

    private static func fields(_ e: SiteMoved) -> [EventField] {
        var fields: [EventField] = [.text("site", e.site.text), .text("state", e.state)]
        if let window = e.window { fields.append(.integer("window", window)) }
        fields.append(.text("because", e.reason.rawValue))
        if !e.words.isEmpty { fields.append(.text("reply", e.words)) }
        if let until = e.until { fields.append(.text("until", until.timestamp)) }
        return fields
    }

    /// One line of text, with its newline:
    /// `2026-11-21T02:07:58.123Z info delivered id=… from=<…> …`.
    package func writeText(at time: WallTime, to out: inout BytesBuilder) {
        out.append(text: time.timestamp)
        out.append(byte: 0x20)
        out.append(text: level.rawValue)
        out.append(byte: 0x20)
        out.append(text: name)
        for field in fields {
            out.append(byte: 0x20)
            out.append(text: field.name)
            out.append(byte: UInt8(ascii: "="))
            switch field {
            case .text(_, let value): Self.writeValue(value, to: &out)
            case .integer(_, let value): out.append(text: String(value))
            case .seconds(_, let value): out.append(text: seconds(value))
            case .list(_, let values): Self.writeValue(values.joined(separator: ","), to: &out)
            }
        }
        out.append(byte: 0x0a)
    }

    /// One JSON object on a line, with its newline.
    package func writeJSON(at time: WallTime, to out: inout BytesBuilder) {
        out.append(
            text: #"{"time":"\#(time.timestamp)","level":"\#(level.rawValue)","event":"\#(name)""#
        )
        for field in fields {
            out.append(text: ",\"\(field.name)\":")
            switch field {
            case .text(_, let value): Self.writeQuoted(value, to: &out)
            case .integer(_, let value): out.append(text: String(value))
            case .seconds(_, let value): out.append(text: seconds(value))
            case .list(_, let values):
                out.append(byte: UInt8(ascii: "["))
                for (i, value) in values.enumerated() {
                    if i > 0 { out.append(byte: UInt8(ascii: ",")) }
                    Self.writeQuoted(value, to: &out)
                }
                out.append(byte: UInt8(ascii: "]"))
            }
        }
        out.append("}\n")
    }

    /// Bare when it has no space, quote, backslash, equals sign or control character; else quoted.
    private static func writeValue(_ value: String, to out: inout BytesBuilder) {
        let isPlain =
            !value.isEmpty
            && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x5c && $0 != 0x7f }
        if isPlain { out.append(text: value) } else { writeQuoted(value, to: &out) }
    }

    /// A JSON string; control characters and DEL escaped, so a line is always one line.
    package static func writeQuoted(_ value: String, to out: inout BytesBuilder) {
        out.append(byte: 0x22)
        for byte in value.utf8 {
            switch byte {
            case 0x22, 0x5c:
                out.append(byte: 0x5c)
                out.append(byte: byte)
            case 0..<0x20, 0x7f:
                let hex = String(byte, radix: 16)
                out.append(text: "\\u" + String(repeating: "0", count: 4 - hex.count) + hex)
            default: out.append(byte: byte)
            }
        }
        out.append(byte: 0x22)
    }
}

/// `1.234567`: seconds with six decimals.
private func seconds(_ duration: Duration) -> String {
    let micros = max(duration.wholeNanoseconds / 1000, 0)
    let fraction = String(micros % 1_000_000)
    return "\(micros / 1_000_000).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)"
}
