// What the operator may set of the spool, what it answers when it can't take something, and what
// it reports. Values alone; the composition fills them from the configuration.

import EkidenMail
import EkidenRuntime

package struct SpoolSettings: Sendable {
    /// Size of a log segment; all segments of a spool should have one size, so that they can be
    /// recycled. A frame must fit into one.
    package var segmentBytes = 64 << 20
    /// Bodies above this stream to a file of their own.
    package var largeMessageBytes = Limits.memoryBodyBytes
    /// Fresh messages kept in memory for delivery.
    package var cacheBytes = 64 << 20
    /// Messages queued at once; `452 4.3.1` above it.
    package var messagesMax = 1_000_000
    /// Stored bytes of queued messages; `452 4.3.1` above it.
    package var queuedBytesMax = 1 << 40
    /// Space and inodes intake leaves free on the file system.
    package var freeBytesMin = 64 << 20
    package var freeInodesMin = 1000
    /// Marks alone are durable after this at the latest (rule 3).
    package var markSyncDelay = Duration.milliseconds(20)
    /// Written and synced together at most.
    package var batchBytesMax = 4 << 20
    package var batchEntriesMax = 512
    /// Free space is looked at, and wall time recorded, this often.
    package var guardInterval = Duration.seconds(1)
    package var heartbeatInterval = Duration.seconds(60)
    /// Pauses between probes of a bad disk, doubling between the two.
    package var probeIntervalMin = Duration.milliseconds(250)
    package var probeIntervalMax = Duration.seconds(4)
    /// For tests of rare paths: move live messages out of the oldest segment whatever it costs.
    package var reclaimsEagerly = false
    /// … but for so long after it was done.
    package var eagerReclaimRest = Duration.zero

    package init() {}

    /// Bodies above this have their own file, whatever `largeMessageBytes` says: a frame must fit.
    var inlineBodyBytesMax: Int { min(largeMessageBytes, segmentBytes / 4) }
}

/// The spool does not take a message now.
package struct SpoolRefusal: Error, Sendable, Equatable {
    package enum Kind: Sendable {
        /// No room: `452 4.3.1`.
        case full
        /// The disk is not well, or the relay is stopping: `451 4.3.0`.
        case unavailable
    }
    package let kind: Kind
    /// A sentence for the log; not for the client.
    package let text: String
    /// Which limit was reached, in words a client may read.
    package let limit: String?

    package init(_ kind: Kind, _ text: String, limit: String? = nil) {
        self.kind = kind
        self.text = text
        self.limit = limit
    }
}

/// The spool could not be opened.
package enum SpoolOpenFailure: Error, Sendable, Equatable {
    /// Another process has it open.
    case locked
    case disk(DiskFailure)
    /// Written by a later release in a format this one does not know.
    case unknownFormat(String)

    package var text: String {
        switch self {
        case .locked: "another process has this spool open"
        case .disk(let failure): failure.text
        case .unknownFormat(let where_): "\(where_) is of a newer format than this release reads"
        }
    }
}

/// What an operator's request about a message came to.
package enum OperatorRefusal: Error, Sendable, Equatable {
    case notFound
    case unavailable(String)
}

/// How `record` ended.
package enum Recorded: Sendable, Equatable {
    case recorded
    /// The relay stopped before it could be recorded.
    case abandoned
}

/// What a start found. All numbers are of this start.
package struct RecoveryReport: Sendable, Equatable {
    package var messages = 0
    package var segments = 0
    package var segmentsScanned = 0
    /// Bytes cut from the end of a segment: never synced, so never acknowledged.
    package var tornTails = 0
    /// Places where bytes that had been synced can't be read.
    package var damagedPlaces = 0
    /// Messages put on hold because their bytes are damaged or missing.
    package var damagedMessages = 0
    package var orphansRemoved = 0
    /// One sentence for each thing an operator should know.
    package var sentences: [String] = []

    package init() {}
}

/// What the spool can say of itself.
package struct SpoolStatistics: Sendable, Equatable {
    package var messages = 0
    package var queuedBytes = 0
    /// Bytes of frames that are still needed.
    package var liveBytes = 0
    package var segments = 0
    /// Bytes of all log files: segments, the next one, spares and the reserve.
    package var logBytes = 0
    package var batches = 0
    package var syncs = 0
    package var framesWritten = 0
    package var acceptedMessages = 0
    package var cachedBytes = 0
    package var isHealthy = true
    /// Why new mail is refused at the moment; nil while it is taken.
    package var refusal: String?

    package init() {}
}

/// What the spool calls, on the owner loop.
package struct SpoolHooks: Sendable {
    /// A message is durable; before its client is answered.
    package var accepted: @Sendable (QueuedMessage) -> Void

    /// Outcomes can be recorded (true) or can't: while they can't, nothing may be sent.
    package var healthChanged: @Sendable (Bool) -> Void

    package init(
        accepted: @escaping @Sendable (QueuedMessage) -> Void = { _ in },
        healthChanged: @escaping @Sendable (Bool) -> Void = { _ in }
    ) {
        self.accepted = accepted
        self.healthChanged = healthChanged
    }
}

/// The outcome of one attempt (or a decision) for recipients of one message, with the messages it
/// causes: all of it or nothing survives a crash.
package struct MarkGroup: Sendable {
    package var id: QueueID
    package var marks: [RecipientMark]
    package var caused: [NewMessage]

    package init(id: QueueID, marks: [RecipientMark], caused: [NewMessage] = []) {
        self.id = id
        self.marks = marks
        self.caused = caused
    }
}

/// A message's envelope and everything recorded about it.
package struct MessageDetails: Sendable, Equatable {
    package var envelope: Envelope
    package var facts: MessageFacts
    package var byteCount: Int
    /// Oldest first.
    package var history: [RecipientMark]
}
