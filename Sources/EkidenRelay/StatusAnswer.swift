// `ekiden status`: how the relay is, in one row.

import EkidenConfiguration
import EkidenControl
import EkidenMail
import EkidenRuntime
import EkidenScheduler
import EkidenSpool

extension Relay {
    func statusReport() async -> StatusReport {
        let configuration = house.settings.configuration
        let now = house.owner.wallNow()
        var report = StatusReport(
            version: world.program.version,
            hostname: configuration.relay.hostname.text,
            pid: world.program.processID,
            started: started,
            loops: house.loops.count,
            now: now
        )
        report.configurationFile = world.program.configurationFile
        report.lastReload = lastReload?.text
        report.lastReloadAt = lastReload?.at
        report.isStopping = isStopping
        report.listeners = listeners.map {
            .init(name: $0.name, endpoint: $0.endpoint.text, connections: $0.ledger.total)
        }
        let (counts, spool, oldest, pause) = await dispatch.ask { core in
            (
                core.scheduler.counts, self.house.spool.statistics,
                self.house.spool.messages(after: nil, limit: 1).first?.arrived,
                self.house.spool.expiryPause
            )
        }
        report.queue.messages = spool.messages
        report.queue.waiting = counts.waiting
        report.queue.ready = counts.ready
        report.queue.inFlight = counts.inFlight
        report.queue.held = counts.held
        report.queue.oldestAgeSeconds = oldest.map { (now - $0).inSeconds }
        report.spool.directory = configuration.spool.directory
        if !spool.isHealthy { report.spool.health = "the disk is not well; see the log" }
        report.spool.usedBytes = spool.logBytes
        report.spool.liveBytes = spool.liveBytes
        report.spool.freeBytes = (try? await world.disk.space().freeBytes) ?? 0
        report.spool.segments = spool.segments
        if spool.isHealthy, let refusal = spool.refusal { report.spool.health = refusal }
        report.spool.acceptsMail = spool.refusal == nil
        report.spool.expiryPaused = pause != nil
        report.spool.messagesMax = configuration.spool.maxMessages
        report.spool.bytesMax = configuration.spool.maxBytes
        report.spool.freeBytesMin = configuration.spool.minFreeSpace
        report.spool.freeInodesMin = configuration.spool.minFreeInodes
        let resolver = house.resolver.statistics
        report.resolver.servers = configuration.resolver.servers.map(\.text)
        report.resolver.queries = Int(clamping: resolver.asked)
        report.resolver.cacheHits = Int(clamping: resolver.hits)
        report.resolver.failures = Int(clamping: resolver.failed)
        report.certificates = shelf.standings.map(CertificateRow.init)
        report.allowances = allowances.count(at: house.owner.now())
        report.rates = rates.perSecond(at: house.owner.now())
        report.failures = rates.failures
        reportLimits(in: &report)
        return report
    }
}

extension CertificateRow {
    fileprivate init(_ standing: TLSStanding) {
        self.init(
            file: standing.file,
            names: standing.names,
            end: standing.end,
            trouble: standing.trouble
        )
    }
}
