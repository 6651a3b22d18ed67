// Answers the operator: what waits and why, how the relay is, and changes, which are durable before
// they are answered. Questions are put to loop 0 a page at a time, so that a long list never holds
// up mail.

import EkidenConfiguration
import EkidenControl
import EkidenMail
import EkidenRuntime
import EkidenScheduler
import EkidenSpool

extension Relay: ControlHandler {
    package func page(
        of request: ControlRequest,
        after cursor: ControlCursor?,
        for peer: ControlPeer
    ) async throws(ControlProblem) -> ControlPage {
        switch request {
        case .status:
            return ControlPage(rows: [await statusReport()], rest: .end(ControlEnd(count: 1)))
        case .queue(let query):
            switch query.grouping {
            case .message: return await messagePage(query, after: cursor)
            case .site: return await sitePage(query)
            case .reason: return await causePage(query)
            }
        case .show(let id): return try await show(id)
        case .raw(let id): return try await raw(id, after: cursor)
        case .act(let action, let selection):
            return try await act(action, on: selection, for: peer)
        case .reload:
            return ControlPage(rest: .end(ControlEnd(text: try await reloadFromSource())))
        case .confirmClock:
            await dispatch.ask { _ in self.house.spool.confirmClock() }
            return ControlPage(rest: .end(ControlEnd(text: "the clock is taken as right")))
        case .suspend(let site, let seconds):
            return try await suspend(site, seconds, peer)
        case .resume(let site):
            let known = await dispatch.ask {
                $0.scheduler.resume(SiteID(site), at: self.dispatch.moment)
            }
            guard known else { throw Self.unknownSite(site) }
            return ControlPage(rest: .end(ControlEnd(count: 1, text: "\(site) is open again")))
        case .allow(let network, let seconds):
            return try allow(network, for: .seconds(seconds), peer)
        case .revoke(let network): return try revoke(network, peer)
        case .allowances: return allowancePage(after: cursor)
        }
    }

    private func suspend(
        _ site: String,
        _ seconds: Int?,
        _ peer: ControlPeer
    )
        async throws(ControlProblem) -> ControlPage
    {
        let known = await dispatch.ask {
            $0.scheduler.suspend(
                SiteID(site),
                by: peer.uid,
                for: seconds.map { .seconds($0) },
                at: self.dispatch.moment
            )
        }
        guard known else { throw Self.unknownSite(site) }
        return ControlPage(rest: .end(ControlEnd(count: 1, text: "\(site) is suspended")))
    }

    private static func unknownSite(_ site: String) -> ControlProblem {
        ControlProblem(
            .notFound,
            "no site is called \(site)",
            hint: "ekiden queue --by site lists them"
        )
    }

    private func reloadFromSource() async throws(ControlProblem) -> String {
        guard let outcome = await reloadFromSource() else {
            throw ControlProblem(.unavailable, "this relay has no configuration file to reload")
        }
        switch outcome {
        case .success(let text): return text
        case .failure(let failure):
            throw ControlProblem(.invalidConfiguration, failure.text, hint: "the old one runs on")
        }
    }

    // MARK: One message

    private func show(_ id: QueueID) async throws(ControlProblem) -> ControlPage {
        let now = house.owner.wallNow()
        guard let details = try? await house.spool.details(of: id) else { throw Self.noMessage(id) }
        let (message, places) = await dispatch.ask { core in
            (
                self.house.spool.message(id),
                self.dispatch.rows(of: id, core)
            )
        }
        guard let message else { throw Self.noMessage(id) }
        var rows: [any ControlRow] = [
            MessageDetail(
                id: id,
                envelope: details.envelope,
                byteCount: details.byteCount,
                hold: message.hold,
                now: now
            )
        ]
        for (index, status) in message.recipients.enumerated() {
            let place = places.first { $0.recipient == index }
            let last = details.history.last { $0.recipient == index }
            rows.append(
                EkidenControl.RecipientRow(
                    address: status.address.text,
                    state: status.state,
                    place: place.map { PlaceWord($0.place) },
                    attempts: status.attempts,
                    reason: place?.because ?? status.reason,
                    host: last?.host ?? "",
                    words: last?.words ?? "",
                    since: (place?.since ?? last?.at).map { max($0, details.envelope.arrived) },
                    next: place?.next,
                    now: now
                )
            )
        }
        for mark in details.history
        where details.envelope.recipients.indices.contains(mark.recipient) {
            rows.append(
                AttemptRow(
                    address: details.envelope.recipients[mark.recipient].text,
                    mark: mark
                )
            )
        }
        if let content = try? await house.spool.content(of: id) {
            rows.append(HeaderText(text: content.header.text))
        }
        return ControlPage(rows: rows, rest: .end(ControlEnd(count: rows.count)))
    }

    static func noMessage(_ id: QueueID) -> ControlProblem {
        ControlProblem(
            .notFound,
            "no message \(id.text) is in the queue",
            hint: "it may have been delivered: ekiden trace \(id.text) tells what became of it"
        )
    }

    private static let rawChunkBytes = RawChunk.byteCount

    private func raw(
        _ id: QueueID,
        after cursor: ControlCursor?
    )
        async throws(ControlProblem) -> ControlPage
    {
        do throws(ContentUnavailable) {
            let content = try await house.spool.content(of: id)
            let offset = Int(cursor?.number ?? 0)
            var chunk = BytesBuilder(capacity: Self.rawChunkBytes)
            if offset < content.header.count {
                let end = min(offset + Self.rawChunkBytes, content.header.count)
                chunk.append(content.header[offset..<end])
            } else {
                let at = offset - content.header.count
                let count = min(Self.rawChunkBytes, content.body.byteCount - at)
                switch content.body {
                case .memory(let body): chunk.append(body[at..<at + count])
                case .stored(let reader, _):
                    chunk.append(try await reader.read(at: at, count: count))
                }
            }
            let next = offset + chunk.count
            let row = RawChunk(bytes: chunk.finish().array)
            return ControlPage(
                rows: [row],
                rest: next < content.byteCount
                    ? .more(ControlCursor(number: UInt64(next))) : .end(ControlEnd(count: 1))
            )
        } catch {
            if !error.isDamage { throw Self.noMessage(id) }
            throw ControlProblem(.unavailable, error.text, hint: "see ekiden spool verify")
        }
    }
}

extension PlaceWord {
    init(_ place: Place) {
        switch place {
        case .waiting: self = .waiting
        case .ready: self = .ready
        case .inFlight: self = .inFlight
        case .held: self = .held
        }
    }
}
