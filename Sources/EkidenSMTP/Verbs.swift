// The command table: which verb may come when, with what argument, and what must follow it. The
// law of the protocol as data; `ServerSession` consults it before it looks at any argument.
// RFC 5321 §4.1.1 and §4.1.4 (order), RFC 2920 §3.1 (groups).

import EkidenMail

struct Verb: Sendable {
    enum Name: Sendable {
        case ehlo, helo, starttls, auth, mail, rcpt, data, bdat, rset, noop, vrfy, expn, help, quit
        case xclient
    }

    /// Parts of a session, as the order of commands sees them.
    struct Phases: OptionSet, Sendable {
        let rawValue: UInt8
        /// No EHLO or HELO yet.
        static let connected = Phases(rawValue: 1)
        /// EHLO or HELO was said, no transaction is open.
        static let ready = Phases(rawValue: 2)
        /// MAIL was accepted.
        static let transaction = Phases(rawValue: 4)
        /// A message is coming in chunks, or was until a chunk was refused (RFC 3030 §2).
        static let chunks = Phases(rawValue: 8)
        static let any: Phases = [.connected, .ready, .transaction, .chunks]
    }

    enum ArgumentRule: Sendable {
        case none
        case optional
        case required
    }

    let name: Name
    let word: StaticString
    let allowedIn: Phases
    let argument: ArgumentRule
    /// RFC 2920 §3.1: must be the last command of a pipelined group.
    let endsGroup: Bool

    static let table: [Verb] = [
        row(.ehlo, "EHLO", .any, .required, endsGroup: true),
        row(.helo, "HELO", .any, .required, endsGroup: true),
        // RFC 3207 §4: without a parameter; RFC 2920 §3.1 and RFC 3207 §4.2: nothing behind it.
        // Before EHLO, too, as some clients have it: all that was said is forgotten anyway.
        row(.starttls, "STARTTLS", [.connected, .ready], .none, endsGroup: true),
        // RFC 4954 §4
        row(.auth, "AUTH", .ready, .required, endsGroup: true),
        row(.mail, "MAIL", .ready, .required),
        row(.rcpt, "RCPT", .transaction, .required),
        row(.data, "DATA", .transaction, .none, endsGroup: true),
        // Anywhere, and its argument whatever it is: the octets behind it must be read first.
        row(.bdat, "BDAT", .any, .optional),
        row(.rset, "RSET", .any, .none),
        row(.noop, "NOOP", .any, .optional, endsGroup: true),
        row(.vrfy, "VRFY", .any, .required, endsGroup: true),
        row(.expn, "EXPN", .any, .required, endsGroup: true),
        row(.help, "HELP", .any, .optional),
        row(.xclient, "XCLIENT", [.connected, .ready], .required, endsGroup: true),
        row(.quit, "QUIT", .any, .none, endsGroup: true),
    ]

    /// Commands that exist and are not offered here: 502 (RFC 5321 §4.2.4).
    static let knownElsewhere: [StaticString] = [
        "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML", "BURL", "XFORWARD", "LHLO",
    ]

    private static func row(
        _ name: Name,
        _ word: StaticString,
        _ allowedIn: Phases,
        _ argument: ArgumentRule,
        endsGroup: Bool = false
    ) -> Verb {
        Verb(
            name: name,
            word: word,
            allowedIn: allowedIn,
            argument: argument,
            endsGroup: endsGroup
        )
    }

    /// What the first word of a line turns out to be.
    enum Lookup {
        case verb(Verb)
        case notOffered
        case http
        case unknown
    }

    static func look(up word: UnsafeRawBufferPointer) -> Lookup {
        for verb in table where isSame(verb.word, word) { return .verb(verb) }
        if knownElsewhere.contains(where: { isSame($0, word) }) { return .notOffered }
        if ForeignProtocol.isHTTP(word: word) { return .http }
        return .unknown
    }

    static func isSame(_ known: StaticString, _ word: UnsafeRawBufferPointer) -> Bool {
        guard known.utf8CodeUnitCount == word.count else { return false }
        for i in 0..<word.count where GrammarScanner.upper(word[i]) != known.utf8Start[i] {
            return false
        }
        return true
    }
}
