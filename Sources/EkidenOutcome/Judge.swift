// The judge: one attempt in, one verdict out. Pure; called by the composition after each attempt
// and for failures that needed no connection. Its rules: Classification for what a failure means,
// RetrySettings for when, RFC 5321 §4.5.5 and §6.1 for who hears of it.

import EkidenMail

/// What the judge is told.
package struct Judgement: Sendable {
    package var job: DeliveryJob
    package var report: AttemptReport
    /// Of the whole message, by envelope index, as they were before this attempt.
    package var statuses: [RecipientStatus]
    /// The sender's: who hears of what (RFC 3461 §4.1).
    package var demands: SenderDemands
    package var settings: RetrySettings
    /// Of recipients whose route has a fallback or is one, by envelope index.
    package var spans: [Int: RouteSpan]
    package var now: WallTime
    /// The wall clock can't be trusted: nothing expires.
    package var expiryIsPaused: Bool
    /// 0 ..< 1; one for the group, so that its recipients stay together.
    package var draw: Double

    package init(
        job: DeliveryJob,
        report: AttemptReport,
        statuses: [RecipientStatus],
        demands: SenderDemands = SenderDemands(),
        settings: RetrySettings,
        spans: [Int: RouteSpan] = [:],
        now: WallTime,
        expiryIsPaused: Bool,
        draw: Double
    ) {
        self.job = job
        self.report = report
        self.statuses = statuses
        self.demands = demands
        self.settings = settings
        self.spans = spans
        self.now = now
        self.expiryIsPaused = expiryIsPaused
        self.draw = draw
    }

    package func verdict() -> Verdict {
        precondition(report.results.count == job.recipients.count, "a result for each recipient")
        var verdict = Verdict()
        var bounced: [ReportItem] = []
        var delayed: [ReportItem] = []
        var relayed: [ReportItem] = []
        // "Too many recipients" goes again at once only beside a delivery, so it always ends. Who was
        // not asked for (RFC 9422) goes again in any case: others were, and are not in the next one.
        let someDelivered = report.results.contains {
            if case .delivered = $0 { true } else { false }
        }
        for (recipient, result) in zip(job.recipients, report.results) {
            switch result {
            case .delivered(let reply):
                note(&verdict, recipient, .delivered, .delivered, report.host, reply.oneLine)
                if endsHere(recipient) { relayed.append(passedOn(recipient, reply)) }
            case .failed(let failure)
            where isForAgain(failure) && (someDelivered || failure.reply == nil):
                verdict.dispositions.append(.again)
            case .failed(let failure):
                judge(failure, of: recipient, &verdict, &bounced, &delayed)
            }
        }
        addReports(&verdict, bounced.filter(isWanted), delayed, relayed)
        return verdict
    }

    /// RFC 3461 §5.2.2: success was asked for, and the next hop will not tell of it.
    private func endsHere(_ recipient: JobRecipient) -> Bool {
        !report.hostOffersDSN && demands.of(recipient.index).notify?.contains(.success) == true
    }

    private func passedOn(_ recipient: JobRecipient, _ reply: Reply) -> ReportItem {
        ReportItem(
            recipient: recipient.address,
            index: recipient.index,
            relayedTo: report.host,
            reply: reply,
            at: now,
            attempts: status(recipient).attempts + 1
        )
    }

    /// NOTIFY without FAILURE: the sender wants no bounce, and gets none.
    private func isWanted(_ item: ReportItem) -> Bool { demands.of(item.index).wants(.failure) }

    private var age: Duration { now - job.arrived }
    private var lifetime: Duration { settings.lifetime(of: job.sender) }

    private func status(_ recipient: JobRecipient) -> RecipientStatus {
        statuses.indices.contains(recipient.index)
            ? statuses[recipient.index]
            : RecipientStatus(address: recipient.address, attempts: recipient.attemptsBefore)
    }

    private func span(_ recipient: JobRecipient) -> RouteSpan {
        spans[recipient.index] ?? RouteSpan()
    }

    // MARK: One recipient

    private func judge(
        _ failure: Failure,
        of recipient: JobRecipient,
        _ verdict: inout Verdict,
        _ bounced: inout [ReportItem],
        _ delayed: inout [ReportItem]
    ) {
        switch Classification.action(for: failure, isLastHost: true) {
        case .stop: ownFault(failure, of: recipient, &verdict)
        case .discard:
            note(
                &verdict,
                recipient,
                .removed,
                failure.reason,
                host(failure),
                Self.words(failure),
                at: failure
            )
        case .hold:
            // Nothing was tried, so there is nothing to record but the hold.
            verdict.hold = failure.reason
            verdict.dispositions.append(
                .retry(after: settings.ownFault, because: failure.reason)
            )
        case .awaitRepair:
            later(failure, of: recipient, &verdict, &delayed, waiting: .untilMended)
        case .bounceRecipients where !isForFallback(failure, recipient):
            end(failure, of: recipient, as: .failed, &verdict, &bounced)
        case .bounceRecipients, .nextHost, .deferRecipients, .deferAll, .againNow:
            endOrLater(failure, of: recipient, &verdict, &bounced, &delayed, waiting: .asAttempts)
        case .awaitOpening:
            endOrLater(failure, of: recipient, &verdict, &bounced, &delayed, waiting: .untilOpen)
        }
    }

    /// The route has it that such mail goes by its fallback, if there is one left. Where the host may
    /// have taken it, another one at once would be a likely duplicate; and what is not a host's doing,
    /// such as a route that is closed, the fallback is not for.
    private func isForFallback(_ failure: Failure, _ recipient: JobRecipient) -> Bool {
        let failureClass = FailureClasses.of(failure)
        return span(recipient).last != nil && failureClass != .ours
            && settings.fallbackOn.contains(failureClass)
            && !Classification.isAmbiguous(failure)
    }

    private func endOrLater(
        _ failure: Failure,
        of recipient: JobRecipient,
        _ verdict: inout Verdict,
        _ bounced: inout [ReportItem],
        _ delayed: inout [ReportItem],
        waiting: Waiting
    ) {
        if !expiryIsPaused, age >= lifetime {
            end(failure, of: recipient, as: .expired, &verdict, &bounced)
        } else {
            later(failure, of: recipient, &verdict, &delayed, waiting: waiting)
        }
    }

    /// Given up, at once or after its lifetime; its sender hears of it.
    private func end(
        _ failure: Failure,
        of recipient: JobRecipient,
        as action: ReportItem.Action,
        _ verdict: inout Verdict,
        _ bounced: inout [ReportItem]
    ) {
        note(
            &verdict,
            recipient,
            action == .expired ? .expired : .failed,
            failure.reason,
            host(failure),
            Self.words(failure),
            at: failure
        )
        bounced.append(
            ReportItem(
                recipient: recipient.address,
                index: recipient.index,
                action: action,
                failure: Self.forSenders(failure),
                lastAttempt: now,
                attempts: status(recipient).attempts + (failure.reason == .routeClosed ? 0 : 1)
            )
        )
    }

    private func isForAgain(_ failure: Failure) -> Bool {
        Classification.action(for: failure, isLastHost: true) == .againNow
    }

    /// What a recipient waits for.
    private enum Waiting {
        /// Longer after each attempt.
        case asAttempts
        /// What only a person can end, without a date: the attempt does not count.
        case untilMended
        /// The same, within its lifetime.
        case untilOpen
    }

    private func wait(_ waiting: Waiting, attempts: Int, _ failure: Failure) -> Duration {
        let left = expiryIsPaused ? nil : lifetime - age
        switch waiting {
        case .untilMended: return settings.repair
        // It comes forward when the route opens; until then it is only seen to end in time.
        case .untilOpen: return settings.delay(attempts: .max, draw: draw, untilEnd: left)
        case .asAttempts:
            return settings.waits(of: FailureClasses.of(failure))
                .delay(attempts: attempts, draw: draw, untilEnd: left)
        }
    }

    private func later(
        _ failure: Failure,
        of recipient: JobRecipient,
        _ verdict: inout Verdict,
        _ delayed: inout [ReportItem],
        waiting: Waiting
    ) {
        let before = status(recipient)
        let span = span(recipient)
        var attempts = before.attempts + (waiting == .asAttempts ? 1 : 0)
        if let last = span.last, failure.reason.isOursToMend || isForFallback(failure, recipient) {
            attempts = max(attempts, last)
        }
        // Its fallback has it at once; else it waits as often as it was tried on this route.
        let wait =
            span.last.map { attempts >= $0 } == true
            ? .zero : wait(waiting, attempts: max(before.attempts + 1 - span.before, 1), failure)
        var notifies = false
        if let after = settings.delayNoticeAfter, age >= after, !before.delayNoticeSent,
            !job.sender.isNull, demands.of(recipient.index).wants(.delay)
        {
            notifies = true
            delayed.append(
                ReportItem(
                    recipient: recipient.address,
                    index: recipient.index,
                    action: .delayed,
                    failure: Self.forSenders(failure),
                    lastAttempt: now,
                    // Until it is mended has no date.
                    willRetryUntil: waiting == .untilMended ? nil : job.arrived + lifetime,
                    attempts: attempts
                )
            )
        }
        note(
            &verdict,
            recipient,
            .pending,
            failure.reason,
            host(failure),
            Self.words(failure),
            at: failure,
            wait: wait,
            notifies: notifies,
            attempts: attempts
        )
    }

    /// Our fault: no attempt is counted and nothing expires. While we stop or can't record
    /// outcomes, nothing is recorded either: the recipient stays due.
    private func ownFault(
        _ failure: Failure,
        of recipient: JobRecipient,
        _ verdict: inout Verdict
    ) {
        verdict.dispositions.append(.retry(after: settings.ownFault, because: failure.reason))
        if failure.reason == .damaged { verdict.hold = .damaged }
        if failure.reason == .stopping || failure.reason == .spoolUnavailable { return }
        let before = status(recipient)
        let next = now + settings.ownFault
        verdict.marks.append(
            RecipientMark(
                recipient: recipient.index,
                state: .pending,
                attempts: before.attempts,
                at: now,
                nextAttempt: next,
                reason: failure.reason,
                host: report.host?.text ?? "",
                words: Self.words(failure),
                delayNoticeSent: before.delayNoticeSent
            )
        )
        verdict.events.append(
            event(
                recipient,
                .deferred,
                failure.reason,
                host(failure),
                Self.words(failure),
                at: failure,
                next: next
            )
        )
    }

    /// Mark, disposition and event of a recipient that was attempted.
    private func note(
        _ verdict: inout Verdict,
        _ recipient: JobRecipient,
        _ state: RecipientState,
        _ reason: Reason,
        _ host: PeerHost?,
        _ words: String,
        at failure: Failure? = nil,
        wait: Duration? = nil,
        notifies: Bool = false,
        attempts: Int? = nil
    ) {
        let before = status(recipient)
        let next = wait.map { now + $0 }
        let line = Self.oneLine(words)
        verdict.marks.append(
            RecipientMark(
                recipient: recipient.index,
                state: state,
                attempts: attempts ?? before.attempts + 1,
                at: now,
                nextAttempt: next,
                reason: reason,
                host: host?.text ?? "",
                words: line,
                delayNoticeSent: before.delayNoticeSent || notifies
            )
        )
        verdict.dispositions.append(wait.map { .retry(after: $0, because: reason) } ?? .done)
        let status: Event.Attempt.Status =
            switch state {
            case .delivered: .delivered
            case .pending: .deferred
            case .failed: .bounced
            case .removed: .discarded
            case .expired: .expired
            }
        verdict.events.append(
            event(recipient, status, reason, host, line, at: failure, next: next)
        )
    }

    /// The host whose words count: the failure's own, else the last one.
    private func host(_ failure: Failure) -> PeerHost? { failure.host ?? report.host }

    private func event(
        _ recipient: JobRecipient,
        _ status: Event.Attempt.Status,
        _ reason: Reason,
        _ host: PeerHost?,
        _ words: String,
        at failure: Failure? = nil,
        next: WallTime?
    ) -> Event {
        let spent = report.connectTime + report.transferTime
        return .attempt(
            Event.Attempt(
                id: job.message,
                sender: job.sender,
                recipient: recipient.address,
                status: status,
                attempt: self.status(recipient).attempts + 1,
                host: host,
                site: job.site.exchanges.isEmpty ? nil : job.site.id,
                queueTime: max(age - spent, .zero),
                connectTime: report.connectTime,
                transferTime: report.transferTime,
                tls: report.tls,
                isConverted: report.isConverted,
                reason: reason,
                step: failure?.step,
                failureClass: failure.map { FailureClasses.of($0) },
                words: words,
                next: next
            )
        )
    }

    // MARK: Words

    /// What opens a route is the operator's business alone.
    private static func forSenders(_ failure: Failure) -> Failure {
        guard failure.reason == .routeClosed else { return failure }
        return Failure(
            scope: failure.scope,
            isPermanent: failure.isPermanent,
            reason: failure.reason,
            step: failure.step,
            text: "its next mail host can be reached at certain times only, and not now",
            status: failure.status
        )
    }

    static func words(_ failure: Failure) -> String {
        let line = oneLine(failure.oneLine)
        return Classification.isAmbiguous(failure) ? line + "; it may be delivered twice" : line
    }

    /// One line without control characters, at most `Limits.wordsBytes`.
    static func oneLine(_ text: String) -> String {
        var bytes = text.utf8.prefix(Limits.wordsBytes).map { $0 < 0x20 || $0 == 0x7f ? 0x3f : $0 }
        // Don't cut a character in the middle.
        if text.utf8.count > bytes.count {
            while let last = bytes.last, last & 0xc0 == 0x80 { bytes.removeLast() }
            if let last = bytes.last, last >= 0xc0 { bytes.removeLast() }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Who hears of it

    private func addReports(
        _ verdict: inout Verdict,
        _ bounced: [ReportItem],
        _ delayed: [ReportItem],
        _ relayed: [ReportItem]
    ) {
        if case .address(let sender) = job.sender {
            if !bounced.isEmpty {
                verdict.reports.append(ReportPlan(kind: .bounce, to: sender, items: bounced))
            }
            if !delayed.isEmpty {
                verdict.reports.append(ReportPlan(kind: .delayNotice, to: sender, items: delayed))
            }
            if !relayed.isEmpty {
                verdict.reports.append(ReportPlan(kind: .relayNotice, to: sender, items: relayed))
            }
            return
        }
        // RFC 5321 §4.5.5, §6.1: never a notification about a notification. What the postmaster
        // could not be told is not told to the postmaster.
        let items = bounced.filter { $0.recipient != settings.postmaster }
        if !items.isEmpty, let postmaster = settings.postmaster {
            verdict.reports.append(
                ReportPlan(kind: .doubleBounce, to: postmaster, items: items)
            )
        } else if !bounced.isEmpty {
            let to = bounced.map { "<\($0.recipient.text)>" }.joined(separator: ", ")
            verdict.events.append(
                .notice(
                    Event.Notice(
                        .warning,
                        "relay",
                        "a bounce could not be delivered to \(to) and is dropped: it has no sender",
                        id: job.message
                    )
                )
            )
        }
    }
}
