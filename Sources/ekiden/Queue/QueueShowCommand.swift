// `ekiden queue show ID`: one message with its recipients, every attempt in the peer's own words,
// and its header; or, with --raw, its bytes.

import EkidenControl
import EkidenMail

let queueShowCommand = Command(
    name: "queue show",
    summary: "Show one message: envelope, recipients, attempts, header",
    arguments: "ID",
    arity: 1...1,
    options: [
        Option("raw", "Print the message itself, byte for byte"),
        Option("json", "One JSON object a line"),
    ] + ControlClient.options,
    examples: [
        Example("ekiden queue show 06BKM6TX4C001", "Its story so far"),
        Example(
            "ekiden queue show 06BKM6TX4C001 --raw > message.eml",
            "The message as it is stored"
        ),
    ],
    run: runShow
)

private func runShow(
    _ invocation: Invocation,
    _ console: Console
) throws(CommandProblem)
    -> ExitStatus
{
    guard let id = try queueIDs(invocation.arguments).first else { return .usage }
    let client = try ControlClient(invocation)
    if invocation.has("raw") {
        _ = try client.ask(.raw(id)) { (kind, line) throws(CommandProblem) in
            guard kind == RawChunk.kind else { return }
            try decode(RawChunk.self, line).bytes.withUnsafeBytes { console.write($0) }
        }
        return .success
    }
    if invocation.has("json") {
        _ = try client.ask(.show(id)) { (_, line) throws(CommandProblem) in
            console.write(line)
            console.print()
        }
        return .success
    }
    var story = MessageStory()
    _ = try client.ask(.show(id)) { (kind, line) throws(CommandProblem) in
        switch kind {
        case MessageDetail.kind: story.detail = try decode(MessageDetail.self, line)
        case RecipientRow.kind: story.recipients.append(try decode(RecipientRow.self, line))
        case AttemptRow.kind: story.attempts.append(try decode(AttemptRow.self, line))
        case HeaderText.kind: story.header = try decode(HeaderText.self, line).text
        default: break
        }
    }
    console.print(story.text, terminator: "")
    return .success
}

/// What is known of a message, as text.
struct MessageStory {
    var detail: MessageDetail?
    var recipients: [RecipientRow] = []
    var attempts: [AttemptRow] = []
    var header = ""

    var text: String {
        var text = ""
        if let detail {
            text += "Message    \(detail.id.text)\n"
            text += "From       <\(printable(detail.sender))>\n"
            text +=
                "Arrived    \(detail.arrived.timestamp), \(ageText(seconds: detail.ageSeconds)) ago\n"
            text += "Size       \(detail.byteCount) bytes\n"
            text += "Client     \(printable(detail.client)) as \(printable(detail.helo)), "
            text += "\(detail.inboundProtocol), listener \(printable(detail.listener))\n"
            if let reason = detail.holdReason {
                text += "Held       \(reason.sentence)"
                if let uid = detail.holdUID { text += ", uid \(uid)" }
                if let since = detail.holdSince { text += ", since \(since.timestamp)" }
                text += "\n"
            }
        }
        text += "\nRecipients\n"
        for row in recipients { text += recipientText(row) }
        if !attempts.isEmpty {
            text += "\nAttempts\n"
            for row in attempts {
                text += "  \(row.at.timestamp)  \(row.attempt)  <\(printable(row.address))>  "
                text += row.state == .pending ? "deferred" : row.state.text
                if !row.host.isEmpty { text += "  \(printable(row.host))" }
                text +=
                    "\n      \(row.words.isEmpty ? row.reason.sentence : printable(row.words))\n"
            }
        }
        if !header.isEmpty {
            text += "\nHeader\n"
            for line in header.split(whereSeparator: \.isNewline) {
                text += "  \(printable(String(line)))\n"
            }
        }
        return text
    }

    private func recipientText(_ row: RecipientRow) -> String {
        var text = "  <\(printable(row.address))>  "
        text += row.state == .pending ? row.place?.rawValue ?? "pending" : row.state.text
        text += ", \(plural(row.attempts, "attempt"))"
        if let next = row.nextInSeconds {
            text += ", next \(next > 0 ? "in " : "")\(nextText(next))"
        }
        if let since = row.since { text += ", since \(since.timestamp)" }
        text += "\n      \(row.reason.sentence)"
        if !row.host.isEmpty { text += "; \(printable(row.host))" }
        if !row.words.isEmpty { text += ": \(printable(row.words))" }
        return text + "\n"
    }
}
