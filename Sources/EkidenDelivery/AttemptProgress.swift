// What an attempt has come to so far: who has a result, who is tried at the next host, and the bounds.

import EkidenMIME
import EkidenMail
import EkidenRuntime

/// What an attempt has come to so far.
struct AttemptProgress {
    let job: DeliveryJob
    let end: Instant
    let isHurried: Bool
    /// What the sender asked for.
    var demands = SenderDemands()
    var plan: ConnectionPlan
    /// In the job's order; nil while open.
    var results: [RecipientResult?]
    /// What the last host said of a recipient that is tried at the next one.
    var lastFailures: [Failure?]
    var sessions = 0
    /// So many at most.
    var sessionsMax: Int
    /// Of the message's parts; nil while no host has asked for it.
    var findings: SevenBitSurvey.Findings?
    var report: AttemptReport

    init(_ assignment: Assignment, plan: ConnectionPlan, sessionsMax: Int, end: Instant) {
        self.sessionsMax = sessionsMax
        job = assignment.job
        isHurried = assignment.isHurried
        self.plan = plan
        self.end = end
        results = Array(repeating: nil, count: job.recipients.count)
        lastFailures = Array(repeating: nil, count: job.recipients.count)
        report = AttemptReport(results: [])
    }

    /// Indices (into the job's recipients) of those without a result.
    var open: [Int] { results.indices.filter { results[$0] == nil } }

    /// Settles all that is open with what is known of it, else with `failure`.
    mutating func settle(_ failure: Failure) {
        for index in open { results[index] = .failed(lastFailures[index] ?? failure) }
    }

    /// Remembers a failure of those that are tried elsewhere. A host that refuses us for good says
    /// nothing against one that only failed for now, so a temporary failure is kept: else a backup
    /// host's 554 would bounce mail that the first host takes tomorrow.
    mutating func postpone(_ failure: Failure) {
        for index in open {
            if failure.isPermanent, lastFailures[index]?.isPermanent == false { continue }
            lastFailures[index] = failure.beside(lastFailures[index])
        }
    }

    /// The report, complete: one result for each recipient.
    func finished() -> AttemptReport { report(on: Array(results.indices)) }

    /// The report on those at `places`, which have a result.
    func report(on places: [Int]) -> AttemptReport {
        var report = report
        report.results = places.map { place in
            guard let result = results[place] else {
                preconditionFailure("a report on an open recipient")
            }
            return result
        }
        return report
    }
}

extension Failure {
    /// What is not the last word, but a person should hear of: what another host has refused for good,
    /// over IPv6, say, before this one could not be reached.
    func beside(_ earlier: Failure?) -> Failure {
        guard let earlier, earlier.isPermanent, !isPermanent, reply == nil else { return self }
        let told = text.isEmpty ? reason.sentence : text
        return Failure(
            scope: scope,
            isPermanent: isPermanent,
            reason: reason,
            step: step,
            host: host,
            text: "\(told); before that \(earlier.host?.text ?? "another host") said: "
                + earlier.oneLine,
            status: status
        )
    }
}
