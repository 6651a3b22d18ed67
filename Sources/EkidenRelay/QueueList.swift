// `ekiden queue`: rows by message, by site and by reason, from the spool's index and the
// scheduler's places, a page at a time.

import EkidenControl
import EkidenMail
import EkidenRuntime
import EkidenScheduler
import EkidenSpool

/// A queued message with where its pending recipients are.
private struct Entry: Sendable {
    let message: QueuedMessage
    let rows: [EkidenScheduler.RecipientRow]
}

/// What a group of recipients has in common, added up.
private struct Sum: Sendable {
    var messages = 0
    var recipients = 0
    var ready = 0
    var waiting = 0
    var inFlight = 0
    var held = 0
    var oldest: WallTime?
    var next: WallTime?
    var reasons: [Reason: Int] = [:]

    mutating func add(_ row: EkidenScheduler.RecipientRow, arrived: WallTime) {
        recipients += 1
        switch row.place {
        case .ready: ready += 1
        case .waiting: waiting += 1
        case .inFlight: inFlight += 1
        case .held: held += 1
        }
        if let time = row.next { next = min(next ?? time, time) }
        oldest = min(oldest ?? arrived, arrived)
        reasons[row.because, default: 0] += 1
    }

    /// The most common reason; of equally common ones the first by name.
    var mainReason: Reason? {
        reasons.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key
    }
}

extension Relay {
    /// Messages looked at in one turn of loop 0.
    private static let pageMessages = 500
    /// Rows for which the last words are read from the log; beyond it the reason has to do.
    private static let rowsWithWords = 100

    // MARK: By message

    func messagePage(_ query: QueueQuery, after cursor: ControlCursor?) async -> ControlPage {
        let now = house.owner.wallNow()
        if !query.ids.isEmpty {
            let entries = await self.entries(of: query.ids)
            var rows: [any ControlRow] = []
            for entry in entries where query.matches(entry.message, entry.rows, now) {
                rows.append(await row(entry, now, withWords: true))
            }
            return ControlPage(rows: rows, rest: .end(ControlEnd(count: rows.count)))
        }
        var position =
            cursor.map { QueueID(number: $0.number) } ?? query.after
            ?? QueueID(number: 0)
        var rows: [any ControlRow] = []
        let bound = query.limit ?? Self.pageMessages
        while true {
            let page = await entries(after: position)
            for entry in page {
                position = entry.message.id
                guard query.matches(entry.message, entry.rows, now) else { continue }
                if rows.count == bound, query.limit != nil {
                    let end = ControlEnd(count: rows.count, isCutShort: true)
                    return ControlPage(rows: rows, rest: .end(end))
                }
                let wantsWords = cursor == nil && rows.count < Self.rowsWithWords
                rows.append(await row(entry, now, withWords: wantsWords))
            }
            if page.count < Self.pageMessages {
                return ControlPage(rows: rows, rest: .end(ControlEnd(count: rows.count)))
            }
            if query.limit == nil {
                return ControlPage(rows: rows, rest: .more(ControlCursor(number: position.number)))
            }
        }
    }

    private func entries(after id: QueueID) async -> [Entry] {
        await dispatch.ask { core in
            return self.house.spool.messages(after: id, limit: Self.pageMessages).map {
                Entry(message: $0, rows: self.dispatch.rows(of: $0.id, core))
            }
        }
    }

    private func entries(of ids: [QueueID]) async -> [Entry] {
        await dispatch.ask { core in
            return ids.compactMap { self.house.spool.message($0) }.map {
                Entry(message: $0, rows: self.dispatch.rows(of: $0.id, core))
            }
        }
    }

    private func row(_ entry: Entry, _ now: WallTime, withWords: Bool) async -> QueueRow {
        let message = entry.message
        // The recipient that is due first speaks for the message.
        let first = entry.rows.min { ($0.place.until ?? now) < ($1.place.until ?? now) }
        let pending = message.recipients.filter { $0.state == .pending }
        var words = ""
        if withWords, let first, pending.contains(where: { $0.attempts > 0 }) {
            let history = (try? await house.spool.details(of: message.id))?.history
            words = history?.last { $0.recipient == first.recipient }?.words ?? ""
        }
        return QueueRow(
            id: message.id,
            arrived: message.arrived,
            byteCount: message.byteCount,
            sender: message.sender.text,
            recipients: pending.prefix(QueueRow.shownRecipients).map(\.address.text),
            pendingCount: pending.count,
            doneCount: message.recipients.count - pending.count,
            state: Self.state(entry, first),
            reason: message.hold?.reason ?? first?.because ?? .accepted,
            words: words,
            site: first?.site?.text ?? first?.nextHop.text,
            since: (message.hold?.since ?? first?.since).map { max($0, message.arrived) },
            next: first?.next,
            now: now
        )
    }

    /// What is being sent is so even when it is to be held after.
    private static func state(_ entry: Entry, _ first: EkidenScheduler.RecipientRow?) -> PlaceWord {
        if entry.rows.contains(where: { PlaceWord($0.place) == .inFlight }) { return .inFlight }
        if entry.message.hold != nil { return .held }
        return first.map { PlaceWord($0.place) } ?? .waiting
    }

    // MARK: By site and by reason

    func sitePage(_ query: QueueQuery) async -> ControlPage {
        let now = house.owner.wallNow()
        let sums = await sum(query, now) { row in row.site?.text ?? row.nextHop.text }
        let (sites, closed) = await dispatch.ask {
            ($0.scheduler.siteRows(at: self.dispatch.moment), $0.demand.closed)
        }
        var names = Set(sums.keys)
        if query.isUnfiltered { names.formUnion(sites.map(\.site.text)) }
        let rows = names.sorted().map { name -> EkidenControl.SiteRow in
            let site = sites.first { $0.site.text == name }
            let sum = sums[name] ?? Sum()
            return EkidenControl.SiteRow(
                site: name,
                state: closed.contains { name == "route:" + $0 }
                    ? "closed" : site?.state.word ?? "unresolved",
                window: site?.window,
                connections: site?.connections ?? 0,
                ready: sum.ready,
                waiting: sum.waiting,
                inFlight: sum.inFlight,
                held: sum.held,
                oldest: sum.oldest,
                reason: sum.mainReason,
                words: site?.failureInForce ?? "",
                next: sum.next,
                now: now
            )
        }
        // Most recipients first; the sort is stable by name.
        let load = { (row: EkidenControl.SiteRow) in
            row.ready + row.waiting + row.inFlight + row.held
        }
        let sorted = rows.enumerated().sorted {
            (load($1.element), $0.offset) < (load($0.element), $1.offset)
        }.map(\.element)
        return Self.limited(sorted, query.limit)
    }

    func causePage(_ query: QueueQuery) async -> ControlPage {
        let now = house.owner.wallNow()
        let sums = await sum(query, now) { row in
            Cause(row)
        }
        let sites = await dispatch.ask { $0.scheduler.siteRows(at: self.dispatch.moment) }
        let rows = sums.sorted {
            // Of equally many those that wait come before those that are being sent.
            ($1.value.recipients, $0.value.inFlight, $0.key.place, $0.key.reason.rawValue)
                < ($0.value.recipients, $1.value.inFlight, $1.key.place, $1.key.reason.rawValue)
        }.map { cause, sum in
            EkidenControl.CauseRow(
                reason: cause.reason,
                place: cause.place,
                words: sites.first { $0.site.text == cause.place }?.failureInForce ?? "",
                isBeingSent: cause.isBeingSent,
                messages: sum.messages,
                recipients: sum.recipients,
                oldest: sum.oldest,
                next: sum.next,
                now: now
            )
        }
        return Self.limited(rows, query.limit)
    }

    private struct Cause: Hashable, Sendable {
        let reason: Reason
        /// Empty where it is about no place: what an operator holds waits for the operator.
        let place: String
        let isBeingSent: Bool

        init(_ row: EkidenScheduler.RecipientRow) {
            let word = PlaceWord(row.place)
            isBeingSent = word == .inFlight
            // Why it waited is no matter any more.
            reason = isBeingSent ? .resolved : row.because
            place =
                word == .held
                ? "" : row.pacedBy.map { "stream:" + $0 } ?? row.site?.text ?? row.nextHop.text
        }
    }

    private func sum<Key: Hashable & Sendable>(
        _ query: QueueQuery,
        _ now: WallTime,
        by key: @Sendable (EkidenScheduler.RecipientRow) -> Key
    ) async -> [Key: Sum] {
        var sums: [Key: Sum] = [:]
        var position = QueueID(number: 0)
        while true {
            let page = await entries(after: position)
            for entry in page {
                position = entry.message.id
                guard query.matches(entry.message, entry.rows, now) else { continue }
                var seen: Set<Key> = []
                for row in entry.rows {
                    let group = key(row)
                    sums[group, default: Sum()].add(row, arrived: entry.message.arrived)
                    if seen.insert(group).inserted { sums[group]?.messages += 1 }
                }
            }
            if page.count < Self.pageMessages { return sums }
        }
    }

    private static func limited(_ rows: [any ControlRow], _ limit: Int?) -> ControlPage {
        let shown = Array(rows.prefix(limit ?? rows.count))
        let end = ControlEnd(count: shown.count, isCutShort: shown.count < rows.count)
        return ControlPage(rows: shown, rest: .end(end))
    }
}

extension EkidenScheduler.SiteRow {
    /// While an operator has it suspended, that is why its mail waits.
    fileprivate var failureInForce: String {
        if case .suspended = state { "" } else { lastFailure }
    }
}

extension QueueQuery {
    var isUnfiltered: Bool {
        ids.isEmpty && from == nil && fromDomain == nil && to == nil && toDomain == nil
            && state == nil && reason == nil && site == nil && olderThanSeconds == nil
    }

    func matches(
        _ message: QueuedMessage,
        _ rows: [EkidenScheduler.RecipientRow],
        _ now: WallTime
    ) -> Bool {
        if let from, message.sender.text.asciiLowercased != from.asciiLowercased { return false }
        if let fromDomain {
            guard case .address(let address) = message.sender,
                address.domain == Domain(fromDomain)
            else { return false }
        }
        let pending = message.recipients.filter { $0.state == .pending }
        if let to {
            let wanted = to.asciiLowercased
            if !pending.contains(where: { $0.address.text.asciiLowercased == wanted }) {
                return false
            }
        }
        if let toDomain {
            let wanted = Domain(toDomain)
            if !pending.contains(where: { $0.address.domain == wanted }) { return false }
        }
        if let olderThanSeconds, now - message.arrived < .seconds(olderThanSeconds) { return false }
        if let state, !rows.contains(where: { PlaceWord($0.place) == state }) { return false }
        if let reason, !rows.contains(where: { $0.because == reason }) { return false }
        if let site, !rows.contains(where: { $0.site?.text == site || $0.nextHop.text == site }) {
            return false
        }
        return true
    }
}
