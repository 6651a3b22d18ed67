// One question followed to its end: reads answers against the name asked for, follows CNAME
// records, and says what to ask next or what came out. Pure; `NameCache` drives it.
// Only records that belong to the question's own chain of aliases count: whatever else a server
// puts into its answer is as if it were not there. RFC 1034 §3.6.2, RFC 2308, RFC 6604.

import EkidenMail
import EkidenRuntime

/// What a question led to.
package enum Lookup: Sendable, Equatable {
    /// At least one, of the type asked for.
    case records([RecordData])
    /// The name exists and has no such record.
    case noData
    /// NXDOMAIN: the name, or the one it is an alias for, does not exist.
    case noName
    /// The name can't be put into a question at all.
    case unaskable
    /// It could not be found out now.
    case failed(LookupFailure)
}

/// Why a lookup came to nothing for now.
package struct LookupFailure: Error, Sendable, Equatable {
    /// `nameServerFailure`, `nameServerTimeout` or `stopping`.
    package let reason: Reason
    /// For a person: "name server answered SERVFAIL for MX of a.example".
    package let text: String

    package init(_ reason: Reason, _ text: String) {
        self.reason = reason
        self.text = text
    }
}

package struct Inquiry: Sendable {
    package enum Step: Sendable, Equatable {
        case ask(NameQuestion)
        /// `ttlSeconds` is the least of all records used, for a negative answer that of its SOA;
        /// nil when the answer gave none.
        case done(Lookup, ttlSeconds: UInt32?)
    }

    /// Aliases followed from one name. Chains in the wild have two or three; RFC 1034 §5.2.2 asks
    /// for loops to be an error.
    package static let aliasesMax = 12

    package let question: NameQuestion
    private var current: NameQuestion
    private var seen: [String]
    private var ttlSeconds: UInt32?

    package init(_ question: NameQuestion) {
        self.question = NameQuestion(name: HostName.folded(question.name), type: question.type)
        current = self.question
        seen = [self.question.name]
    }

    package var firstStep: Step { .ask(current) }

    /// Takes the answer packet to the question last asked for.
    package mutating func take(_ packet: [UInt8]) -> Step {
        guard let answer = Answer(packet) else {
            return fail("name server sent bytes that are no DNS answer")
        }
        switch answer.code {
        case .noError, .nameError: break
        default: return fail("name server answered \(answer.code.text)")
        }
        guard answer.question == current else {
            return fail("name server answered another question")
        }
        if answer.isTruncated { return fail("name server could not send the whole answer") }
        var moved = false
        while true {
            let found = answer.answers.filter { record in
                record.owner == current.name && record.type == current.type
            }
            if !found.isEmpty { return finish(found) }
            guard let alias = answer.alias(of: current.name), current.type != RecordType.cname
            else { break }
            if let failure = follow(alias) { return failure }
            moved = true
        }
        return negative(answer, afterAlias: moved)
    }

    private mutating func finish(_ found: [Record]) -> Step {
        for record in found { limit(record.ttlSeconds) }
        return .done(.records(found.map(\.data)), ttlSeconds: ttlSeconds)
    }

    /// Goes on to the name a CNAME record points at; a step only when that ends the inquiry.
    private mutating func follow(_ record: Record) -> Step? {
        guard case .alias(let target) = record.data else { return nil }
        limit(record.ttlSeconds)
        // A loop or an endless chain is its owner's mistake, not proof that the name does not
        // exist; recursive servers answer SERVFAIL to it. So it is temporary: mail waits for the
        // mistake to be mended as long as mail waits for anything.
        if seen.contains(target) { return fail("its aliases (CNAME) form a loop") }
        if seen.count > Self.aliasesMax {
            return fail("more than \(Self.aliasesMax) aliases (CNAME) in a row")
        }
        // RFC 2317 §4: reverse names go by aliases with a slash in them.
        let isAskable =
            HostName.isValid(target) || question.type == RecordType.ptr && HostName.isPlain(target)
        guard isAskable else {
            return .done(.noName, ttlSeconds: ttlSeconds)
        }
        seen.append(target)
        current = NameQuestion(name: target, type: question.type)
        return nil
    }

    /// Nothing of the type asked for stands at the end of the chain.
    private mutating func negative(_ answer: Answer, afterAlias: Bool) -> Step {
        // RFC 2308 §5: the SOA says how long; it must speak for the name in question.
        let authority = answer.authorities.first { record in
            record.type == RecordType.soa && HostName.isWithin(current.name, zone: record.owner)
        }
        if let authority, case .authority(let minimumSeconds) = authority.data {
            limit(min(authority.ttlSeconds, minimumSeconds))
        }
        let ttl = authority == nil ? nil : ttlSeconds
        // RFC 6604 §3: the code speaks of the last name of the chain.
        if answer.code == .nameError { return .done(.noName, ttlSeconds: ttl) }
        if authority != nil { return .done(.noData, ttlSeconds: ttl) }
        // The server told the alias and not what it leads to.
        if afterAlias { return .ask(current) }
        // RFC 2308 §2.2: name servers without an SOA are a referral; the one asked won't recurse.
        if answer.authorities.contains(where: { $0.type == RecordType.ns }) {
            return fail("name server referred to others instead of answering")
        }
        return .done(.noData, ttlSeconds: nil)
    }

    private mutating func limit(_ seconds: UInt32) {
        ttlSeconds = min(ttlSeconds ?? .max, seconds)
    }

    private func fail(_ text: String) -> Step {
        let subject = "\(RecordType.text(question.type)) of \(question.name)"
        let failure = LookupFailure(.nameServerFailure, "\(text) (\(subject))")
        return .done(.failed(failure), ttlSeconds: nil)
    }
}

extension Answer {
    /// The CNAME record of a name; the first, should there be several (RFC 2181 §10.1 allows one).
    fileprivate func alias(of name: String) -> Record? {
        answers.first { $0.owner == name && $0.type == RecordType.cname }
    }
}
