// Acts on a survey of the log: puts away what is of no use, keeps copies of what is damaged, and
// says what it found. Done twice it does nothing the second time.

import EkidenMail
import EkidenRuntime

struct Recovery {
    let disk: any Disk
    let settings: SpoolSettings
    let survey: LogSurvey

    /// Spares that are fit for use, after everything else was put away.
    func run() async throws(DiskFailure) -> (spares: [String], hasReserve: Bool) {
        for (segment, range) in survey.unvouched { try await vouch(for: segment, range) }
        for path in survey.leftovers + survey.orphans { try await disk.remove(path) }
        if !survey.orphans.isEmpty { try await disk.syncDirectory("large") }
        await keepCopies()
        var spares: [String] = []
        for (path, byteCount) in survey.spares {
            guard byteCount == settings.segmentBytes, spares.count < 2 else {
                try await disk.remove(path)
                continue
            }
            if path.hasSuffix(".segment") {
                let spare = String(path.dropLast("segment".utf8.count)) + "spare"
                try await disk.rename(path, to: spare)
                spares.append(spare)
            } else {
                spares.append(path)
            }
        }
        var hasReserve = survey.reserveBytes == settings.segmentBytes
        if survey.reserveBytes != nil, !hasReserve {
            try await disk.remove(SegmentName.reserve)
            hasReserve = false
        }
        try await disk.syncDirectory("log")
        return (spares, hasReserve)
    }

    /// Makes durable what was read but may be in the kernel's memory alone: the same bytes are
    /// written again where they are. A sync by itself would not do: after one that failed, the
    /// kernel takes the pages for clean.
    private func vouch(for segment: UInt32, _ range: Range<Int>) async throws(DiskFailure) {
        let file = try await disk.open(SegmentName.segment(segment), .readWrite, lane: .bulk)
        let result: Result<Void, DiskFailure>
        do throws(DiskFailure) {
            let bytes = try await disk.read(file, at: range.lowerBound, count: range.count)
            try await disk.write([bytes], to: file, at: range.lowerBound, sync: true, written: nil)
            result = .success(())
        } catch { result = .failure(error) }
        await disk.close(file)
        try result.get()
    }

    /// Copies under `damaged/`, as far as the disk lets us; they are for people.
    private func keepCopies() async {
        for finding in survey.findings {
            guard case .damagedPlace(let segment, let range) = finding else { continue }
            let name = "damaged/\(segment)-\(range.lowerBound)"
            await copy(SegmentName.segment(segment), range, to: name)
        }
        // Out of the way of the next start, which finds the log sound and would remove them.
        for finding in survey.findings {
            guard case .orphan(let path) = finding else { continue }
            try? await disk.rename(path, to: "damaged/" + path.dropFirst("large/".utf8.count))
        }
        try? await disk.syncDirectory("large")
        for segment in survey.lostSegments {
            let path = SegmentName.segment(segment)
            try? await disk.rename(path, to: "damaged/\(segment).segment")
        }
        try? await disk.syncDirectory("damaged")
    }

    private func copy(_ path: String, _ range: Range<Int>, to name: String) async {
        do {
            let source = try await disk.open(path, .read, lane: .bulk)
            let bytes = try? await disk.read(
                source,
                at: range.lowerBound,
                count: min(range.count, 4 << 20)
            )
            await disk.close(source)
            guard let bytes else { return }
            // A copy that is there already is of an earlier start.
            let target = try await disk.open(name, .create, lane: .bulk)
            try? await disk.write([bytes], to: target, at: 0, sync: true, written: nil)
            await disk.close(target)
        } catch { return }
    }

    func report(_ index: SpoolIndex) -> RecoveryReport {
        var report = RecoveryReport()
        report.messages = index.count
        report.segments = survey.segments.count
        report.segmentsScanned = survey.scannedCount
        report.damagedMessages = survey.damaged.count
        report.orphansRemoved = survey.orphans.count
        for finding in survey.findings {
            switch finding {
            case .tornTail: report.tornTails += 1
            case .damagedPlace, .lostSegment: report.damagedPlaces += 1
            default: break
            }
        }
        report.sentences = survey.findings.map(\.sentence)
        return report
    }
}
