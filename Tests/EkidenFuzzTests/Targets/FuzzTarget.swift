// What strangers' bytes reach, each parser with an entry point of its own. `deploy/fuzz` runs one of
// them under libFuzzer; the tests run each over its corpus, where every input that once broke
// something stays. A target traps when a parser does, and when an answer breaks a rule that holds
// for all bytes: cut elsewhere the same input means the same, what goes out is well-formed.

enum FuzzTarget: String, CaseIterable, Sendable {
    /// A whole SMTP session with the server: commands, AUTH, DATA, BDAT.
    case server
    /// A message behind DATA, or in chunks.
    case body
    /// Replies of a mail host.
    case replies
    /// A mail host's part of a delivery.
    case delivery
    /// A header section on its way through the rewriter.
    case header
    /// A message with 8-bit content for a host that takes none.
    case mime
    /// A balancer's header.
    case proxy
    /// A name server's packet.
    case names
    case configuration
    case users
    /// A file of clients, mailboxes, recipients or senders.
    case lists
    /// A line on the control socket.
    case control
    /// What is in a frame of the spool.
    case records
    /// A segment of the spool's log.
    case segment

    func run(_ input: [UInt8]) {
        switch self {
        case .server: MailFuzz.server(input)
        case .body: MailFuzz.body(input)
        case .replies: MailFuzz.replies(input)
        case .delivery: MailFuzz.delivery(input)
        case .header: MailFuzz.header(input)
        case .mime: MIMEFuzz.convert(input)
        case .proxy: DataFuzz.proxy(input)
        case .names: DataFuzz.names(input)
        case .configuration: DataFuzz.configuration(input)
        case .users: DataFuzz.users(input)
        case .lists: DataFuzz.lists(input)
        case .control: DataFuzz.control(input)
        case .records: SpoolFuzz.records(input)
        case .segment: SpoolFuzz.segment(input)
        }
    }
}

/// Input behind a byte that says how it is used.
struct FuzzInput {
    let choice: Int
    let bytes: [UInt8]

    init(_ input: [UInt8]) {
        choice = Int(input.first ?? 0)
        bytes = Array(input.dropFirst())
    }

    /// The bytes in pieces whose size the choice says; one at the least.
    var pieces: [[UInt8]] {
        let size = 1 + choice & 0x1f
        return stride(from: 0, to: bytes.count, by: size).map {
            Array(bytes[$0..<min($0 + size, bytes.count)])
        }
    }

    func has(_ bit: Int) -> Bool { choice >> bit & 1 == 1 }
}

/// A rule that holds for all bytes was broken.
func demand(_ isTrue: Bool, _ what: @autoclosure () -> String) {
    if !isTrue { fatalError(what()) }
}
