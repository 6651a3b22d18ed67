// `ekiden sink`: an SMTP server that takes everything, prints or stores what it got, and can
// misbehave on request. The downstream for trying the relay out, and the peer of end-to-end tests.

import EkidenMail
import Glibc

let sinkCommand = Command(
    name: "sink",
    summary: "Take all mail on a port; print it, store it, or just count it",
    details: """
        Accepts every sender, recipient and message, and relays nothing. What it prints per
        message is one line with number, time, envelope and size, and with --print headers the
        header block below it. With --store each message becomes NUMBER.eml (its bytes as they
        were before dots were stuffed) and NUMBER.json (its envelope); the .json comes last.

        For tests it misbehaves on request, at the steps \(SinkStep.list).
        A step may be narrowed to command lines that contain a text: rcpt~bob@
        """,
    options: [
        Option(
            "listen",
            "l",
            value: "ADDRESS:PORT",
            "Where to listen (127.0.0.1:2526); port 0 takes any"
        ),
        Option("print", "p", value: "WHAT", "headers, all, envelope (the standard) or none"),
        Option("json", "Print one JSON object per message instead of text"),
        Option("store", "s", value: "DIR", "Store each message there"),
        Option("count", "n", value: "N", "End after N messages"),
        Option("reply", value: "STEP=REPLY", repeats: true, "Answer a step with CODE:STATUS:TEXT"),
        Option("drop-at", value: "STEP", repeats: true, "Hang up without a word at a step"),
        Option("reply-once", "Each --reply and --drop-at holds once, then all is well"),
        Option(
            "delay",
            value: "TIME",
            repeats: true,
            "Wait before each reply, or STEP=TIME before one"
        ),
        Option(
            "without",
            value: "EXTENSION",
            repeats: true,
            "Do not offer an extension (8BITMIME)"
        ),
    ],
    examples: [
        Example("ekiden sink --print headers", "Show what arrives on port 2526"),
        Example("ekiden sink --store /tmp/mail --count 10", "Store ten messages, then end"),
        Example(
            "ekiden sink --reply 'rcpt~bob@=450:4.2.1:mailbox busy'",
            "Defer one recipient, take all others"
        ),
        Example(
            "ekiden sink --drop-at dot --reply-once",
            "Take the first message and hang up unanswered"
        ),
    ],
    run: runSink
)

private func runSink(
    _ invocation: Invocation,
    _ console: Console
) throws(CommandProblem)
    -> ExitStatus
{
    let what = invocation.value("print") ?? "envelope"
    guard ["headers", "all", "envelope", "none"].contains(what) else {
        throw .usage("--print takes headers, all, envelope or none, not \"\(what)\"")
    }
    var script = SinkScript()
    for text in invocation.all("reply") { try script.addReply(text) }
    for text in invocation.all("drop-at") { try script.addDrop(text) }
    for text in invocation.all("delay") { try script.addDelay(text) }
    script.isOnce = invocation.has("reply-once")
    let limit = try invocation.integer("count", in: 1...Int.max, default: Int.max)
    let store = invocation.value("store")
    if let store, mkdir(store, 0o755) != 0, errno != EEXIST {
        throw CommandProblem(.negative, "can't make \(store): \(systemWords())")
    }
    var capture = SinkCapture()
    capture.keepsEnvelope = store != nil || what != "none"
    capture.contentBytes = store != nil || what == "all" ? .max : what == "headers" ? 1 << 20 : 0

    raiseDescriptorLimit()
    let writer = SinkWriter(
        console: console,
        what: what,
        json: invocation.has("json"),
        store: store
    )
    let server = try SinkServer(
        listeningOn: try sinkEndpoint(invocation.value("listen") ?? "127.0.0.1:2526"),
        capture: capture,
        script: script,
        without: invocation.all("without").map { $0.uppercased() },
        received: writer.take
    )
    Interrupt.listen()
    console.error("ekiden sink: listening on \(server.endpoint.text)")
    var shown = 0
    while !Interrupt.wasAsked, writer.count < limit, writer.problem == nil {
        server.turn(milliseconds: 200)
        console.flush()
        if writer.count != shown, !console.isTerminal || what == "none" {
            shown = writer.count
            console.progress("\(plural(shown, "message")), \(sizeText(writer.byteCount))B")
        }
    }
    console.progress("")
    if let problem = writer.problem { throw problem }
    console.error("ekiden sink: \(plural(writer.count, "message")), \(writer.byteCount) bytes")
    return .success
}

/// As `parseEndpoint`, and port 0 allowed.
private func sinkEndpoint(_ text: String) throws(CommandProblem) -> Endpoint {
    if let endpoint = parseEndpoint(text) ?? (text == "0" ? Endpoint(.loopback4, 0) : nil) {
        return endpoint
    }
    throw .usage(
        "--listen takes an address and a port, not \"\(text)\"",
        hint: "for example 127.0.0.1:2526, [::1]:2526, or just 2526"
    )
}

/// Prints and stores messages as they come.
private final class SinkWriter {
    private let console: Console
    private let what: String
    private let json: Bool
    private let store: String?
    private(set) var count = 0
    private(set) var byteCount = 0
    /// Why it can't go on.
    private(set) var problem: CommandProblem?

    init(console: Console, what: String, json: Bool, store: String?) {
        self.console = console
        self.what = what
        self.json = json
        self.store = store
    }

    func take(_ message: SinkMessage) {
        count += 1
        byteCount += message.byteCount
        if what == "none", store == nil { return }
        let now = wallTimeNow()
        if let store { save(message, in: store, at: now) }
        if what == "none" { return }
        if json {
            console.print(envelopeJSON(message, at: now))
        } else {
            printText(message, at: now)
        }
    }

    private func printText(_ message: SinkMessage, at now: WallTime) {
        let recipients = message.recipients.map { "<\($0)>" }.joined(separator: ",")
        console.print(
            "\(count)  \(now.timestamp)  from=<\(printable(message.sender))> "
                + "to=\(printable(recipients)) size=\(message.byteCount) "
                + "helo=\(printable(message.helo)) client=\(message.client.text)"
        )
        guard what != "envelope" else { return }
        var content = removingDotStuffing(message.content)[...]
        if what == "headers" { content = content[..<headerEnd(content)] }
        let lines = content.split(separator: 0x0a, omittingEmptySubsequences: false)
        for line in lines.dropLast(content.last == 0x0a ? 1 : 0) {
            let text = String(decoding: line.last == 0x0d ? line.dropLast() : line, as: UTF8.self)
            console.print("    " + printable(text))
        }
        console.print()
    }

    private func save(_ message: SinkMessage, in directory: String, at now: WallTime) {
        let digits = String(count)
        let name = String(repeating: "0", count: max(0, 6 - digits.count)) + digits
        let path = "\(directory)/\(name)"
        do throws(CommandProblem) {
            try writeFile(path + ".eml", removingDotStuffing(message.content))
            try writeFile(path + ".json.part", Array((envelopeJSON(message, at: now) + "\n").utf8))
            if rename(path + ".json.part", path + ".json") != 0 {
                throw CommandProblem(.negative, "can't write \(path).json: \(systemWords())")
            }
        } catch {
            problem = error
        }
    }

    private func envelopeJSON(_ message: SinkMessage, at now: WallTime) -> String {
        let to = message.recipients.map(quotedJSON).joined(separator: ",")
        return "{\"number\":\(count),\"time\":\(quotedJSON(now.timestamp)),"
            + "\"from\":\(quotedJSON(message.sender)),\"to\":[\(to)],"
            + "\"parameters\":\(quotedJSON(message.parameters)),"
            + "\"size\":\(message.byteCount),\"helo\":\(quotedJSON(message.helo)),"
            + "\"client\":\(quotedJSON(message.client.text))}"
    }
}

private func headerEnd(_ content: ArraySlice<UInt8>) -> Int {
    var start = content.startIndex
    while start < content.endIndex {
        guard let end = content[start...].firstIndex(of: 0x0a) else { break }
        let line = content[start..<end]
        if line.isEmpty || line.elementsEqual([0x0d]) { return start }
        start = end + 1
    }
    return content.endIndex
}

func quotedJSON(_ text: String) -> String {
    var out = BytesBuilder()
    Event.writeQuoted(text, to: &out)
    return out.finish().text
}

/// Text from outside for a terminal: control characters become `?`, so nothing can steer it.
func printable(_ text: String) -> String {
    String(
        String.UnicodeScalarView(
            text.unicodeScalars.map {
                $0.value < 0x20 && $0 != "\t" || (0x7f...0x9f).contains($0.value) ? "?" : $0
            }
        )
    )
}
