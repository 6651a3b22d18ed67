// Streams: mail told apart by who sends it, and when it goes: `[[stream]]`.

import EkidenMail

extension Configuration {
    package struct Stream: Sendable, Equatable {
        package enum Priority: String, Sendable, CaseIterable {
            case normal
            /// Before other mail.
            case high
        }

        package var name = ""
        // Which mail it is; an empty condition fits all.
        package var senders: [MailboxPattern] = []
        package var logins: [String] = []
        package var listeners: [String] = []

        package var priority = Priority.normal
        /// Messages in a time; nil: as fast as they come.
        package var rate: Rate?
        /// nil: a second's worth.
        package var burst: Int?
    }
}

extension Check {
    static func streams(_ c: Configuration, _ loading: inout Loading) {
        for (index, stream) in c.streams.enumerated() {
            let path = "stream[\(index)]"
            if stream.senders.isEmpty, stream.logins.isEmpty, stream.listeners.isEmpty {
                loading.error(
                    at: loading.position(of: path + ".name"),
                    "nothing says which mail stream \"\(stream.name)\" is; set senders, logins or "
                        + "listeners"
                )
            }
            listeners(stream.listeners, of: path, c, &loading)
            if stream.burst != nil, stream.rate == nil {
                loading.warning(
                    at: loading.position(of: path + ".burst"),
                    "stream.burst has no effect without a rate; set one"
                )
            }
            if stream.rate == nil, stream.priority == .normal {
                loading.warning(
                    at: loading.position(of: path + ".name"),
                    "stream \"\(stream.name)\" has neither a priority nor a rate, so it changes "
                        + "nothing; set one of them"
                )
            }
        }
    }
}
