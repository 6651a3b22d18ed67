// `ekiden spool verify` and `ekiden spool export`: read a spool nobody runs, change nothing. Both
// work on what a crash left; both need no lock, and a spool in use merely looks as if it had just
// crashed.

import EkidenMail
import EkidenRuntime

/// What `spool verify` found.
package struct VerifyReport: Sendable, Equatable {
    package var messages = 0
    package var heldMessages = 0
    package var segments = 0
    package var tornTails = 0
    /// One sentence for each damage; empty for a sound spool. Torn tails are no damage.
    package var damages: [String] = []
    /// What a start will put right by itself, in sentences.
    package var repairs: [String] = []

    package var isSound: Bool { damages.isEmpty }

    package init() {}
}

package enum SpoolVerifier {
    /// Reads every segment and every body, whatever the footers say.
    package static func verify(disk: any Disk) async throws(SpoolOpenFailure) -> VerifyReport {
        let survey = LogSurvey(disk: disk)
        try await survey.run(checksBodies: true)
        var report = VerifyReport()
        report.messages = survey.index.count
        report.segments = survey.segments.count
        for finding in survey.findings {
            switch finding {
            case .tornTail:
                report.tornTails += 1
                report.repairs.append(finding.sentence)
            case .damagedFooter: report.repairs.append(finding.sentence)
            default: report.damages.append(finding.sentence)
            }
        }
        for path in survey.orphans { report.repairs.append(Finding.orphan(path).sentence) }
        for path in survey.leftovers { report.repairs.append("\(path) was never completed") }
        var last: QueueID?
        while true {
            let page = survey.index.messages(after: last ?? QueueID(number: 0), limit: 1000)
            if page.isEmpty { break }
            report.heldMessages += page.count { $0.hold != nil }
            last = page.last?.id
        }
        return report
    }
}

/// One exported message.
package struct ExportedMessage: Sendable {
    package let id: QueueID
    /// For the file beside it: sender, recipients, states and arrival, a line each.
    package let envelopeText: String
    /// The message, byte for byte: header block, then body; nil when it is damaged.
    package let content: Content?
    /// Why there is no content.
    package let problem: String?

    /// `<id>.eml` and `<id>.envelope`.
    package var contentName: String { id.text + ".eml" }
    package var envelopeName: String { id.text + ".envelope" }
}

/// Yields every queued message of a spool.
///
/// `@unchecked Sendable`: used by one task at a time.
package final class SpoolExporter: @unchecked Sendable {
    private let disk: any Disk
    private let survey: LogSurvey
    private var last = QueueID(number: 0)

    private init(disk: any Disk, survey: LogSurvey) {
        self.disk = disk
        self.survey = survey
    }

    package static func open(disk: any Disk) async throws(SpoolOpenFailure) -> SpoolExporter {
        let survey = LogSurvey(disk: disk)
        try await survey.run()
        return SpoolExporter(disk: disk, survey: survey)
    }

    package var messageCount: Int { survey.index.count }

    /// The next message in order of ids; nil after the last.
    package func next() async -> ExportedMessage? {
        guard let queued = survey.index.messages(after: last, limit: 1).first,
            let location = survey.index.location(queued.id)
        else { return nil }
        last = queued.id
        var content: Content?
        var problem: String?
        var envelope: Envelope?
        do throws(ContentUnavailable) {
            let stored = try await read(location)
            envelope = stored.record.envelope
            content = try stored.content(disk)
            if case .stored(let reader as LargeBodyReader, _) = content?.body,
                let failure = await reader.check()
            {
                throw failure
            }
        } catch {
            content = nil
            problem = error.text
        }
        return ExportedMessage(
            id: queued.id,
            envelopeText: Self.text(queued, envelope, problem),
            content: content,
            problem: problem
        )
    }

    private func read(
        _ location: SpoolIndex.Slot
    ) async throws(ContentUnavailable) -> StoredMessage {
        let bytes: Bytes
        do throws(DiskFailure) {
            let path = SegmentName.segment(location.place.segment)
            let file = try await disk.open(path, .read, lane: .bulk)
            let result: Result<Bytes, DiskFailure>
            do {
                result = .success(
                    try await disk.read(
                        file,
                        at: location.place.offset,
                        count: Int(location.frameBytes)
                    )
                )
            } catch { result = .failure(error) }
            await disk.close(file)
            bytes = try result.get()
        } catch { throw ContentUnavailable(error.text, isDamage: false) }
        return try StoredMessage(frame: bytes, at: location.place, part: Int(location.part))
    }

    private static func text(
        _ queued: QueuedMessage,
        _ envelope: Envelope?,
        _ problem: String?
    ) -> String {
        var lines = [
            "id: \(queued.id.text)",
            "from: <\(queued.sender.text)>",
            "arrived: \(queued.arrived.timestamp)",
            "size: \(queued.byteCount)",
        ]
        if let client = envelope?.client {
            lines.append("client: \(client.endpoint.text)")
            lines.append("helo: \(client.helo)")
            lines.append("with: \(client.inboundProtocol.text)")
        }
        if let hold = queued.hold { lines.append("held: \(hold.reason.rawValue)") }
        for recipient in queued.recipients {
            lines.append(
                "to: <\(recipient.address.text)> \(recipient.state.text) "
                    + "attempts=\(recipient.attempts)"
            )
        }
        if let problem { lines.append("problem: \(problem)") }
        return lines.joined(separator: "\n") + "\n"
    }
}
