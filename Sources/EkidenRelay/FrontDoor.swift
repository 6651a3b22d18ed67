// The way in: a message's bytes pass through the header rewriter into the spool. Ingress holds the
// door (`IngressDoor`); rewriting and spool don't know each other.

import EkidenConfiguration
import EkidenIngress
import EkidenMail
import EkidenResolver
import EkidenRewriting
import EkidenRuntime
import EkidenSMTP
import EkidenSpool

final class FrontDoor: IngressDoor {
    private let house: House

    init(house: House) { self.house = house }

    func admit(byteCount: Int) throws(IntakeRefusal) {
        do throws(SpoolRefusal) {
            try house.spool.admit(byteCount: byteCount)
        } catch {
            throw IntakeRefusal(error)
        }
    }

    func reverseName(
        of client: HostAddress,
        on loop: Loop,
        until deadline: Instant
    ) async -> ReverseFinding {
        switch await house.resolver.reverseName(of: client, on: loop, until: deadline) {
        case .confirmed(let name): .confirmed(name)
        case .missing(let why): .missing(why)
        case .failed(let failure): .unknown(failure.text)
        }
    }

    func begin(
        _ envelope: Envelope,
        _ rules: IntakeRules
    ) throws(IntakeRefusal) -> any MessageIntake {
        let settings = house.settings
        let id = house.spool.nextID()
        var rewrite = RewriteRules(
            received: ReceivedFacts(
                envelope: envelope,
                id: id,
                byHost: settings.hostName,
                date: envelope.arrived
            ),
            addsMissingFields: rules.mayComplete && settings.addsMissingHeaders,
            headerBlockBytes: rules.content.headerBytes,
            receivedFields: rules.receivedFields
        )
        rewrite.headerFields = rules.content.headerFields
        rewrite.headerFieldBytes = rules.content.headerFieldBytes
        return Intake(
            id: id,
            envelope: envelope,
            rules: rewrite,
            refusesEightBitHeader: rules.content.refusesEightBitHeaders
                && !envelope.demands.smtpUTF8,
            spool: house.spool,
            routes: settings.routes
        )
    }
}

/// One message on its way from the client to the disk.
final class Intake: MessageIntake {
    let id: QueueID
    private var envelope: Envelope
    private let refusesEightBitHeader: Bool
    private let spool: Spool
    private let routes: RouteTable
    private var rewriter: HeaderRewriter?
    private var header: RewrittenHeader?
    private var body: BodyIntake?

    init(
        id: QueueID,
        envelope: Envelope,
        rules: RewriteRules,
        refusesEightBitHeader: Bool = false,
        spool: Spool,
        routes: RouteTable = RouteTable()
    ) {
        self.routes = routes
        self.refusesEightBitHeader = refusesEightBitHeader
        self.id = id
        self.envelope = envelope
        self.spool = spool
        rewriter = HeaderRewriter(rules)
    }

    func append(_ bytes: UnsafeRawBufferPointer) async throws(IntakeRefusal) -> FactsGatherer? {
        if header != nil {
            try await appendBody(bytes)
            return nil
        }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[try rewrite(bytes)...])
        guard let header else { return nil }
        return try await beginBody(header.bodyStart, rest)
    }

    func finish(body facts: FactsGatherer) async throws(IntakeRefusal) -> AcceptedMessage {
        var bodyFacts = facts
        if header == nil {
            // The message ended within its header; what was no field after all is its body.
            try endHeader()
            if let header {
                let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
                bodyFacts = try await beginBody(header.bodyStart, nothing)
            }
        }
        guard let header, let body else { preconditionFailure("finished twice") }
        let stored: Content.Body
        do throws(SpoolRefusal) {
            stored = try await body.finish()
        } catch {
            throw IntakeRefusal(error)
        }
        // From here on the body's file, if it has one, is the spool's to keep or to remove.
        self.body = nil
        var facts = MessageFacts(header: FactsGatherer(), body: bodyFacts)
        facts.merge(header: header.facts)
        // RFC 8689 §4.1: REQUIRETLS outranks the field.
        if header.findings.waivesTLS, !envelope.demands.requiresTLS {
            envelope.demands.waivesTLS = true
        }
        envelope.headerRoutes = routes.headerRoutes(of: header.block)
        let content = Content(header: header.block, body: stored, facts: facts)
        do throws(SpoolRefusal) {
            try await spool.accept(NewMessage(id: id, envelope: envelope, content: content))
        } catch {
            throw IntakeRefusal(error)
        }
        return AcceptedMessage(
            byteCount: content.byteCount,
            messageID: header.findings.messageID
        )
    }

    func abandon() async {
        if let body {
            self.body = nil
            await body.abandon()
        }
    }

    /// Feeds the header; returns how many bytes it took.
    private func rewrite(_ bytes: UnsafeRawBufferPointer) throws(IntakeRefusal) -> Int {
        let taken: Int
        do throws(HeaderProblem) {
            taken = try rewriter?.append(bytes) ?? 0
        } catch {
            throw IntakeRefusal(error.reply, rule: error.rule)
        }
        if rewriter?.isComplete == true { try endHeader() }
        return taken
    }

    private func endHeader() throws(IntakeRefusal) {
        guard let done = rewriter.take() else { return }
        let whole = done.finish()
        if refusesEightBitHeader, whole.facts.headerHasEightBit || whole.facts.bodyHasEightBit {
            // RFC 3463 §3.7: X.6.0, media error; the X.6.7 of RFC 6531 is for addresses.
            let text =
                "the header has 8-bit characters; encode them (RFC 2047), or ask for SMTPUTF8"
            throw IntakeRefusal(
                Reply(550, EnhancedStatus(5, 6, 0), text),
                rule: "eight-bit-header"
            )
        }
        header = whole
        body = spool.makeBody(for: id)
    }

    /// What the header's end left over and what came with it are the first bytes of the body.
    private func beginBody(
        _ leftOver: Bytes,
        _ rest: UnsafeRawBufferPointer
    ) async throws(IntakeRefusal)
        -> FactsGatherer
    {
        var facts = FactsGatherer()
        facts.gather(leftOver.pointer)
        facts.gather(rest)
        try await appendBody(leftOver.pointer)
        try await appendBody(rest)
        withExtendedLifetime(leftOver) {}
        return facts
    }

    private func appendBody(_ bytes: UnsafeRawBufferPointer) async throws(IntakeRefusal) {
        guard bytes.count > 0, let body else { return }
        do throws(SpoolRefusal) {
            try await body.append(bytes)
        } catch {
            throw IntakeRefusal(error)
        }
    }
}

extension MessageFacts {
    /// Adds the facts of the header block to those of the body.
    mutating func merge(header: MessageFacts) {
        lines += header.lines
        longestLineBytes = max(longestLineBytes, header.longestLineBytes)
        hasLeadingDot = hasLeadingDot || header.hasLeadingDot
        headerHasEightBit = header.headerHasEightBit || header.bodyHasEightBit
    }
}

extension IntakeRefusal {
    /// The spool's refusal in the client's language.
    init(_ refusal: SpoolRefusal) {
        switch refusal.kind {
        case .full:
            // RFC 5321 §4.2.3: 452, insufficient system storage; RFC 3463 §3.4: X.3.1.
            let limit = refusal.limit.map { " (\($0))" } ?? ""
            let text = "the queue is full\(limit); try again later"
            self.init(Reply(452, EnhancedStatus(4, 3, 1), text), rule: "spool-full")
        case .unavailable:
            self.init(
                Reply(451, EnhancedStatus(4, 3, 0), "the queue's disk is not well; try again"),
                rule: "spool-unavailable"
            )
        }
    }
}
