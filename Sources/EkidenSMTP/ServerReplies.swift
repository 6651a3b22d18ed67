// What the server side says, in one place: settings that shape it, names of the rules that refuse,
// and the replies (RFC 5321 §4.2; enhanced status codes RFC 3463 by way of RFC 2034, on all but
// greeting, EHLO and HELO, and 354). The driver sends the 421s that no command asked for.

import EkidenMail

/// What a listener tells the session about itself.
package struct ServerSettings: Sendable, Equatable {
    /// Our name in greeting and replies.
    package var hostName: String
    /// What the greeting says behind the name.
    package var banner: String
    /// Largest message; nil for no limit. Offered as SIZE (RFC 1870 §3).
    package var messageBytes: Int?
    /// Recipients of one transaction. RFC 5321 §4.5.3.1.8 asks for at least 100.
    package var recipients: Int
    /// Refusals after which the session ends; a message accepted, or a login, starts the count anew.
    package var errors: Int
    /// STARTTLS is offered (RFC 3207).
    package var offersTLS: Bool
    /// Nothing is taken before TLS (RFC 3207 §4).
    package var requiresTLS: Bool
    /// Commands, accepted RCPTs aside, after which the session ends unless a message was accepted
    /// in between.
    package var commands: Int
    /// nil: AUTH is not offered.
    package var auth: AuthSettings?
    /// Policy is asked about the argument of EHLO and HELO.
    package var asksHello = false

    package init(
        hostName: String,
        banner: String = "ESMTP Ekiden",
        messageBytes: Int? = nil,
        recipients: Int = 1000,
        errors: Int = 20,
        commands: Int = 200,
        offersTLS: Bool = false,
        requiresTLS: Bool = false,
        auth: AuthSettings? = nil
    ) {
        self.hostName = hostName
        self.banner = banner
        self.messageBytes = messageBytes
        self.recipients = recipients
        self.errors = errors
        self.commands = commands
        self.offersTLS = offersTLS
        self.requiresTLS = requiresTLS
        self.auth = auth
    }
}

/// A rule of the protocol by which something was refused; its word stands in the log.
package enum ServerRule: String, Sendable, CaseIterable {
    case syntax
    case bareNewline = "bare-newline"
    case nul
    case lineTooLong = "line-too-long"
    case unknownCommand = "unknown-command"
    case notOffered = "command-not-offered"
    case httpOnSMTP = "http-on-smtp"
    case tlsOnSMTP = "tls-on-smtp"
    case commandOrder = "command-order"
    case unknownParameter = "unknown-parameter"
    case messageSize = "message-size"
    case unfinishedLine = "unfinished-line"
    case recipientLimit = "recipient-limit"
    case noRecipients = "no-valid-recipients"
    case pipelining
    case needsTLS = "needs-tls"
    case loginMechanism = "login-mechanism"
    case loginNeedsTLS = "login-needs-tls"
    case loginCancelled = "login-cancelled"
    case loginRefused = "login-refused"
    case loginRequired = "login-required"
    case tooManyErrors = "too-many-errors"
    case tooManyCommands = "too-many-commands"
}

extension Reply {
    /// RFC 5321 §4.3.1.
    package static func greeting(_ settings: ServerSettings) -> Reply {
        Reply(220, nil, settings.hostName + " " + settings.banner)
    }

    /// RFC 5321 §4.1.1.1 with the extensions we offer.
    /// - Parameter mechanisms: those this client may log in by now; empty for no AUTH.
    static func hello(
        _ settings: ServerSettings,
        isSecured: Bool,
        mechanisms: [SASLMechanism] = [],
        takesOverride: Bool = false
    ) -> Reply {
        let size = settings.messageBytes.map { "SIZE \($0)" } ?? "SIZE"
        var lines = [
            settings.hostName, "PIPELINING", size, "8BITMIME", "CHUNKING", "DSN", "SMTPUTF8",
            "LIMITS RCPTMAX=\(settings.recipients)", "ENHANCEDSTATUSCODES",
        ]
        if takesOverride { lines.append("XCLIENT " + ClientOverride.attributes) }
        // RFC 8689 §2: under TLS alone.
        if isSecured { lines.append("REQUIRETLS") }
        // RFC 3207 §4.2: not on a session that has it.
        if settings.offersTLS, !isSecured { lines.append("STARTTLS") }
        if !mechanisms.isEmpty {
            // RFC 4954 §3
            lines.append("AUTH " + mechanisms.map(\.rawValue).joined(separator: " "))
        }
        return Reply(250, nil, lines: lines)
    }

    /// The service stops: RFC 5321 §3.8, 421 may answer anything.
    package static func shutdown(_ settings: ServerSettings) -> Reply {
        Reply(421, EnhancedStatus(4, 3, 2), settings.hostName + " is stopping; try again soon")
    }

    /// The client said nothing for too long (RFC 5321 §4.5.3.2).
    package static func timeout(_ settings: ServerSettings) -> Reply {
        Reply(421, EnhancedStatus(4, 4, 2), settings.hostName + " waited too long; closing")
    }

    /// No connection more can be served now.
    package static func tooBusy(_ settings: ServerSettings, limit: Int) -> Reply {
        let text = "\(settings.hostName) has the \(limit) connections it serves at once; try again"
        return Reply(421, EnhancedStatus(4, 3, 2), text)
    }

    /// RFC 5321 §4.2.1: our own fault, the client should try again.
    package static func localError(_ text: String = "local error; try again later") -> Reply {
        Reply(451, EnhancedStatus(4, 3, 0), text)
    }

    /// `250 2.0.0 <id>`: the message is durable and ours (RFC 5321 §6.1).
    package static func queued(as id: QueueID) -> Reply {
        Reply(250, EnhancedStatus(2, 0, 0), id.text)
    }

    // RFC 3207 §4
    static let startTLS = Reply(220, EnhancedStatus(2, 0, 0), "ready to start TLS")
    static let needsTLS = Reply(530, EnhancedStatus(5, 7, 0), "say STARTTLS first")
    static let resetDone = Reply(250, EnhancedStatus(2, 0, 0), "reset")
    static let noopDone = Reply(250, EnhancedStatus(2, 0, 0), "nothing done")
    static let senderOK = Reply(250, EnhancedStatus(2, 1, 0), "sender ok")
    static let recipientOK = Reply(250, EnhancedStatus(2, 1, 5), "recipient ok")
    static let startData = Reply(354, nil, "send the message; end with CRLF.CRLF")
    // RFC 5321 §3.5.3, §7.3
    static let cannotVerify = Reply(
        252,
        EnhancedStatus(2, 5, 0),
        "not verified here; send the message and see"
    )
    static let noExpansion = Reply(502, EnhancedStatus(5, 5, 1), "EXPN is not offered")
    /// What works in this session, as it is now.
    static func help(
        _ settings: ServerSettings,
        isSecured: Bool,
        mayLogIn: Bool,
        takesOverride: Bool
    ) -> Reply {
        var words = "commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT"
        if settings.offersTLS, !isSecured { words += " STARTTLS" }
        if mayLogIn { words += " AUTH" }
        if takesOverride { words += " XCLIENT" }
        return Reply(214, EnhancedStatus(2, 0, 0), words + " (RFC 5321)")
    }

    // RFC 4954 §4, §6
    static let loggedIn = Reply(235, EnhancedStatus(2, 7, 0), "logged in")
    static let loginFailed = Reply(
        535,
        EnhancedStatus(5, 7, 8),
        "user name and password do not fit"
    )
}
