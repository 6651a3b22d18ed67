// What clients ask for their letters beside the addresses: whether and how they hear of their fate
// (DSN, RFC 3461), that a header may be UTF-8 (SMTPUTF8, RFC 6531), a body 8-bit (RFC 6152), and that TLS is
// required all the way (REQUIRETLS, RFC 8689). Hosts know these extensions, or do not; the oracles hold what hosts heard and what reports say against what was asked.

import EkidenMail
import EkidenRuntime

struct LetterWishes: Sendable {
    enum Notify: String, CaseIterable {
        case never = "NEVER"
        case success = "SUCCESS"
        case successAndFailure = "SUCCESS,FAILURE"
        case failure = "FAILURE"
        case failureAndDelay = "FAILURE,DELAY"
        case delay = "DELAY"

        func wants(_ word: String) -> Bool { rawValue.contains(word) }
    }

    /// RET: FULL, HDRS; nil: nothing is said.
    var returned: String?
    /// ENVID, of characters that stand for themselves in xtext.
    var envelopeID: String?
    /// By recipient; nobody else is spoken of.
    var notify: [String: Notify] = [:]
    /// The header is UTF-8.
    var isInternational = false
    /// The body has octets above 127.
    var isEightBit = false
    /// Asked for where the client has TLS itself.
    var requiresTLS = false

    /// Nothing is asked for.
    var isPlain: Bool {
        returned == nil && envelopeID == nil && notify.isEmpty && !isInternational && !isEightBit
            && !requiresTLS
    }

    /// Behind MAIL's path.
    var mailParameters: String {
        (returned.map { " RET=\($0)" } ?? "") + (envelopeID.map { " ENVID=\($0)" } ?? "")
            + (isInternational ? " SMTPUTF8" : "") + (isEightBit ? " BODY=8BITMIME" : "")
    }

    /// Behind RCPT's path.
    func parameters(of recipient: String) -> String {
        notify[recipient].map { " NOTIFY=\($0.rawValue) ORCPT=rfc822;list-\(recipient)" } ?? ""
    }

    /// Whether anybody hears of that recipient's failure.
    func tellsFailure(of recipient: String) -> Bool { notify[recipient]?.wants("FAILURE") ?? true }

    static func draw(_ key: Int, _ recipients: [String], _ random: SimRandom) -> LetterWishes {
        var wishes = LetterWishes()
        wishes.isInternational = random.once(in: 15)
        wishes.isEightBit = random.once(in: 10)
        wishes.requiresTLS = random.once(in: 20)
        guard random.once(in: 4) else { return wishes }
        wishes.returned = random.pick([nil, "FULL", "HDRS"])
        wishes.envelopeID = random.once(in: 2) ? "env.k\(key)" : nil
        for recipient in recipients where !random.once(in: 3) {
            wishes.notify[recipient] = random.pick(Notify.allCases)
        }
        return wishes
    }
}

/// What a host heard of the extensions in one transaction.
struct HeardParameters {
    var offersDSN = false
    var offersUTF8 = false
    var offersEightBit = false
    /// Behind the paths of MAIL and, by recipient, RCPT.
    var mail = ""
    var recipients: [String: String] = [:]

    static func words(_ line: String) -> String {
        line.firstIndex(of: ">").map { String(line[line.index(after: $0)...]) } ?? ""
    }
}

extension Town {
    // MARK: When a message arrives

    /// A host that knows DSN hears what the client said, any other nothing of it; and UTF-8 goes to
    /// nobody who does not know it.
    func checkParameters(_ letter: Letter, _ heard: HeardParameters, _ recipients: [String]) {
        let what = "k\(letter.key)"
        let mail = heard.mail.split(separator: " ").map { String($0) }
        let wishes = letter.wishes
        if mail.contains("SMTPUTF8") != wishes.isInternational
            || wishes.isInternational && !heard.offersUTF8
        {
            ledger.violation("\(what) came with MAIL parameters \(mail)")
        }
        let isEightBit =
            (wishes.isEightBit || wishes.isInternational) && !isConverted(letter, heard)
        if mail.contains("BODY=8BITMIME") != isEightBit || isEightBit && !heard.offersEightBit {
            ledger.violation("\(what), 8-bit: \(isEightBit), came with MAIL parameters \(mail)")
        }
        if isTLSRequired(letter) {
            ledger.violation("\(what) requires TLS all the way, and no host here can be verified")
        }
        let asked = [wishes.returned.map { "RET=\($0)" }, wishes.envelopeID.map { "ENVID=\($0)" }]
        let said = mail.filter { $0.hasPrefix("RET=") || $0.hasPrefix("ENVID=") }
        if said.sorted() != (heard.offersDSN ? asked.compactMap { $0 }.sorted() : []) {
            ledger.violation("\(what) came with \(said) in MAIL")
        }
        for recipient in recipients {
            guard let notify = wishes.notify[recipient] else { continue }
            let words = Set((heard.recipients[recipient] ?? "").split(separator: " "))
            let wanted: Set<Substring> =
                heard.offersDSN
                ? ["NOTIFY=\(notify.rawValue)", "ORCPT=rfc822;list-\(recipient)"] : []
            if words != wanted {
                ledger.violation("\(what) came with \(words.sorted()) for \(recipient)")
            }
        }
        if heard.offersDSN { count("told-dsn") }
        if wishes.isInternational { count("international") }
        if wishes.isEightBit { count("eight-bit") }
    }

    /// The host gets it in 7 bits.
    func isConverted(_ letter: Letter, _ heard: HeardParameters) -> Bool {
        plan.convertsEightBit && letter.wishes.isEightBit && !letter.wishes.isInternational
            && !heard.offersEightBit
    }

    /// Its client asked for it, as only those can who have TLS.
    func isTLSRequired(_ letter: Letter) -> Bool {
        letter.wishes.requiresTLS && ledger.securedKeys.contains(letter.key)
    }

    // MARK: When a report arrives

    /// Reports are what was asked for: of a recipient whose fate somebody wants to know, with the
    /// client's name for the message and for the recipient, and as much of the message as it wants.
    func checkWishes(_ place: Place, _ action: String, _ report: String) {
        count("report-" + action)
        // What was asked for is kept with the message: where that can't be read, the sender hears of a
        // failure rather than not.
        guard !plan.readsMayFail, let copy = ledger.copies[place.id],
            let letter = ledger.letters[copy.key]
        else { return }
        let wishes = letter.wishes
        if let id = wishes.envelopeID, !report.contains("Original-Envelope-Id: \(id)\r\n") {
            ledger.violation("\(place.text): its report does not name \(id)")
        }
        if wishes.returned == "HDRS", !report.contains("-headers") {
            ledger.violation("\(place.text): its report returns more than the header")
        }
        let notify = wishes.notify[place.recipient]
        if notify != nil, !report.contains("Original-Recipient: rfc822;list-\(place.recipient)") {
            ledger.violation("\(place.text): its report does not name the original recipient")
        }
        let isWanted =
            switch action {
            case "delayed": notify?.wants("DELAY") ?? true
            case "relayed": notify?.wants("SUCCESS") ?? false
            case "failed": notify?.wants("FAILURE") ?? true
            default: false
            }
        if !isWanted { ledger.violation("\(place.text): nobody asked to hear it is \(action)") }
    }

    // MARK: Ends nobody is told of

    /// Nobody asked to hear of this recipient's failure, and it may have failed: the log said so, or
    /// a host did, or there is no host, or its time was over when the relay last died, which can keep
    /// the log from saying so.
    func mayHaveFailedSilently(_ place: Place) -> Bool {
        guard let copy = ledger.copies[place.id], let letter = ledger.letters[copy.key],
            !letter.wishes.tellsFailure(of: place.recipient)
        else { return false }
        if ledger.failedByLog.contains(place) || ledger.refusals.contains(place.recipient) {
            return true
        }
        let domain = place.recipient.split(separator: "@").last.map { String($0) } ?? ""
        if isHopeless(domain, for: letter) || hasRudeHost(domain) { return true }
        return ledger.lastDeath.map { $0 - copy.at >= expiryFloor } ?? false
    }

    /// No host of the domain takes this letter, or not each of them does.
    func isHopeless(_ domain: String, for letter: Letter) -> Bool {
        switch plan.domains.first(where: { $0.name == domain })?.kind {
        case .null, .missing, .dead, nil: return true
        case .steady, .address: break
        }
        // RFC 8689 §4.2.1: a host found by MX can't be verified.
        if isTLSRequired(letter) { return true }
        if letter.wishes.isInternational, hasHost(domain, where: { !$0.temper.hasUTF8 }) {
            return true
        }
        return letter.wishes.isEightBit && !plan.convertsEightBit
            && hasHost(domain) { !$0.temper.hasEightBit && !$0.temper.hasUTF8 }
    }

    /// Who asked to hear of success hears of it from us where the host does not know how to tell
    /// (RFC 3461 §5.2.2, relayed).
    func judgeRelayed() {
        if plan.readsMayFail { return }
        for place in ledger.arrivals.keys.sorted() {
            guard let copy = ledger.copies[place.id], let letter = ledger.letters[copy.key],
                letter.sender != nil,
                letter.wishes.notify[place.recipient]?.wants("SUCCESS") == true,
                let arrivals = ledger.arrivals[place], !arrivals.contains(where: \.toldDSN)
            else { continue }
            if ledger.relayedReports.contains(place) || ledger.untold.contains(place.id)
                || ledger.toldInstead.contains(place.id) || ledger.removed[place] != nil
                || ledger.perhapsRemoved.contains(place)
                // The host took it, its answer was lost, and a later attempt failed for good; of which
                // who asked for success alone does not hear.
                || ledger.failureReports[place] != nil || ledger.failedByLog.contains(place)
            {
                continue
            }
            ledger.violation("\(place.text) was delivered, and its sender did not hear of it")
        }
    }
}
