// How a message goes to one host: as it is stored, or its 8-bit content converted to 7 bits (RFC 6152
// §3). The message is looked through only where the host lacks an extension that it might need, once for
// all hosts of an attempt.

import EkidenMIME
import EkidenMail
import EkidenSMTP

struct OutgoingForm: Sendable {
    /// Of what is sent.
    var byteCount: Int
    var facts: MessageFacts
    /// nil: it goes as it is stored.
    var plan: SevenBitPlan?
    /// Why there is no plan although the host takes no 8-bit content; empty: there is nothing to say.
    var trouble = ""

    /// As it is stored.
    init(_ content: Content) {
        byteCount = content.byteCount
        facts = content.facts
    }

    /// For a host with these extensions.
    init(
        _ content: Content,
        _ findings: SevenBitSurvey.Findings,
        _ extensions: Extensions,
        converts: Bool
    ) {
        self.init(content)
        // RFC 6531 §3.2: the headers of parts are headers, too.
        if findings.headersHaveEightBit { facts.headerHasEightBit = true }
        if extensions.eightBitMIME || !converts { return }
        if let obstacle = findings.obstacle {
            trouble =
                "the host can't take 8-bit mail, and this message can't be converted: "
                + obstacle.sentence
            return
        }
        plan = findings.plan
        byteCount = findings.plan.byteCount
        facts.bodyHasEightBit = false
        // A soft line break may bring a dot to the start of a line.
        facts.hasLeadingDot = true
    }

    /// Such a message may not go as it is to a host with these extensions: its parts are to be known.
    static func asksForSurvey(
        _ content: Content,
        _ extensions: Extensions,
        converts: Bool
    ) -> Bool {
        guard content.facts.hasEightBit else { return false }
        return !extensions.eightBitMIME && converts
            || content.demands.smtpUTF8 && !extensions.smtpUTF8 && content.facts.bodyHasEightBit
    }
}

extension DeliverySession {
    /// How the message goes to a host with these extensions; nil: it can't be read, and the recipients
    /// are settled with that.
    func form(
        of content: Content,
        for extensions: Extensions,
        _ progress: inout AttemptProgress
    ) async -> OutgoingForm? {
        let converts = settings.convertsEightBit
        progress.report.isConverted = false
        guard OutgoingForm.asksForSurvey(content, extensions, converts: converts) else {
            return OutgoingForm(content)
        }
        do throws(ContentUnavailable) {
            let findings: SevenBitSurvey.Findings
            if let known = progress.findings {
                findings = known
            } else {
                findings = try await content.survey()
                progress.findings = findings
            }
            let form = OutgoingForm(content, findings, extensions, converts: converts)
            progress.report.isConverted = form.plan != nil
            return form
        } catch {
            progress.settle(Self.unreadable(error))
            return nil
        }
    }
}

extension Content {
    /// Looks through header block and body.
    func survey() async throws(ContentUnavailable) -> SevenBitSurvey.Findings {
        var survey = SevenBitSurvey()
        survey.append(header.pointer)
        var offset = 0
        while offset < body.byteCount {
            let block = try await body.block(at: offset)
            survey.append(block.pointer)
            offset += block.count
        }
        return survey.finish()
    }
}

/// Stored bytes in, bytes of the wire out: converted where there is a plan, dots stuffed.
struct OutgoingBytes {
    private var converter: SevenBitConverter?
    private var stuffer: DotStuffer

    init(_ form: OutgoingForm) {
        converter = form.plan.map { SevenBitConverter($0) }
        stuffer = DotStuffer(facts: form.facts)
    }

    /// The next run of header block or body; nil for a bare CR or LF, when it must not be sent.
    mutating func next(_ run: Bytes) -> Bytes? {
        stuffer.stuff(converter?.convert(run) ?? run)
    }

    /// What comes behind the last run, the final dot included; nil as above.
    mutating func end() -> [Bytes]? {
        guard let rest = stuffer.stuff(converter?.finish() ?? Bytes()), let dot = stuffer.finalDot
        else { return nil }
        return rest.isEmpty ? [dot] : [rest, dot]
    }
}
