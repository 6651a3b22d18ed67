// What a start makes of what it finds: conditions and verdicts, nothing else. Every combination has
// exactly one row that decides it (the first that matches), and every row has a test. The code that
// looks is in SegmentScan.swift and Recovery.swift; the code that acts is in Recovery.swift.

/// What stands at a place of a segment that has no footer.
struct PlaceCondition: Equatable, Sendable {
    enum Standing: CaseIterable, Sendable {
        /// At or after the end that a later preamble names for this segment.
        case beyondCut
        /// Known to have been synced: before that end, or before what a later frame vouches for.
        case vouched
        /// Nobody says that it was ever durable.
        case unvouched
    }
    enum Head: CaseIterable, Sendable { case intact, damaged, newerVersion }
    /// Header block and body; of no interest when the head is damaged.
    enum Extents: CaseIterable, Sendable { case intact, damaged }
    /// Whether an intact frame of this segment stands anywhere after this place.
    enum Following: CaseIterable, Sendable { case frame, nothing }

    var standing: Standing
    var head: Head
    var extents: Extents
    var following: Following
}

enum PlaceVerdict: Equatable, Sendable {
    /// Take it as it is.
    case apply
    /// Keep a copy, report; the message is known by name, so it is held as damaged.
    case hold
    /// Keep a copy, report, go on at the next intact frame.
    case skip
    /// A torn tail: it was never acknowledged. What follows in this segment doesn't count.
    case cut
    /// Here the segment ends, as it should.
    case end
    /// Written by a later release: do not start.
    case refuse
}

/// A whole segment file.
struct SegmentCondition: Equatable, Sendable {
    enum FooterState: CaseIterable, Sendable { case intact, damaged, missing }
    var footer: FooterState
    /// Any intact frame with the segment's own number.
    var hasFrames: Bool
    /// A later preamble says that something of it counts.
    var isNamed: Bool
}

enum SegmentVerdict: Equatable, Sendable {
    case readFooter
    case scan
    /// Never written to: made ahead of need. It becomes a spare.
    case spare
    /// There should be something, and there is nothing: report, keep the file aside.
    case lost
}

/// A body's own file, or the want of it.
struct LargeCondition: Equatable, Sendable {
    enum File: CaseIterable, Sendable { case whole, short, missing }
    var file: File
    var isNamed: Bool
    /// Frames were skipped, so that a message that names it may be among them.
    var logIsDamaged: Bool
}

enum LargeVerdict: Equatable, Sendable {
    case keep
    case hold
    case remove
    /// Left where it is, and reported.
    case leave
    case nothing
}

enum RecoveryTable {
    struct Row<Condition: Sendable, Verdict: Sendable>: Sendable {
        let matches: @Sendable (Condition) -> Bool
        let verdict: Verdict
        let because: String
    }

    static let places: [Row<PlaceCondition, PlaceVerdict>] = [
        Row(
            matches: { $0.standing == .beyondCut },
            verdict: .end,
            because: "a later segment says that this one ends here"
        ),
        Row(
            matches: { $0.head == .newerVersion && $0.following == .nothing },
            verdict: .refuse,
            because: "a later release wrote it"
        ),
        Row(
            matches: { $0.head == .intact && $0.extents == .intact },
            verdict: .apply,
            because: "all its checksums agree"
        ),
        Row(
            matches: { $0.standing == .vouched && $0.head == .intact },
            verdict: .hold,
            because: "it was durable and its bytes have changed since; its envelope has not"
        ),
        Row(
            matches: { $0.standing == .unvouched && $0.head == .intact },
            verdict: .cut,
            because: "its sync had not ended, so nobody was told that it is there"
        ),
        Row(
            matches: { $0.standing == .vouched },
            verdict: .skip,
            because: "it was durable and can't be read any more"
        ),
        Row(
            matches: { $0.following == .frame },
            verdict: .cut,
            because: "the last write was torn; what came after it was never synced"
        ),
        Row(
            matches: { _ in true },
            verdict: .end,
            because: "nothing was written here"
        ),
    ]

    static let segments: [Row<SegmentCondition, SegmentVerdict>] = [
        Row(
            matches: { $0.footer == .intact },
            verdict: .readFooter,
            because: "it was closed, and its footer says what is in it"
        ),
        Row(
            matches: { $0.hasFrames },
            verdict: .scan,
            because: "it was open, or its footer was lost"
        ),
        Row(
            matches: { $0.isNamed || $0.footer == .damaged },
            verdict: .lost,
            because: "it had frames, and none of them can be read"
        ),
        Row(
            matches: { _ in true },
            verdict: .spare,
            because: "it was made ahead of need and never used"
        ),
    ]

    static let largeFiles: [Row<LargeCondition, LargeVerdict>] = [
        Row(
            matches: { $0.isNamed && $0.file == .whole },
            verdict: .keep,
            because: "a queued message has its body there"
        ),
        Row(
            matches: { $0.isNamed },
            verdict: .hold,
            because: "the body of a queued message is not what was stored"
        ),
        Row(
            matches: { $0.file == .missing },
            verdict: .nothing,
            because: "nobody misses it"
        ),
        Row(
            matches: { $0.logIsDamaged },
            verdict: .leave,
            because: "the message that names it may be among what can't be read"
        ),
        Row(
            matches: { _ in true },
            verdict: .remove,
            because: "its message was never accepted, or is finished"
        ),
    ]

    static func verdict(_ condition: PlaceCondition) -> PlaceVerdict {
        decide(places, condition, otherwise: .end)
    }

    static func verdict(_ condition: SegmentCondition) -> SegmentVerdict {
        decide(segments, condition, otherwise: .spare)
    }

    static func verdict(_ condition: LargeCondition) -> LargeVerdict {
        decide(largeFiles, condition, otherwise: .leave)
    }

    private static func decide<Condition, Verdict>(
        _ rows: [Row<Condition, Verdict>],
        _ condition: Condition,
        otherwise: Verdict
    ) -> Verdict {
        rows.first { $0.matches(condition) }?.verdict ?? otherwise
    }
}
