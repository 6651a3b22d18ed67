// What a relay is given: the seams to the machine, real or simulated, and facts about the program.

import EkidenMail
import EkidenRuntime
import EkidenSpool

/// The world a relay runs in: the real one, or a simulated one.
package struct RelayWorld: Sendable {
    /// At least one; the first is the owner of spool and scheduler.
    package var loops: [Loop]
    package var disk: any Disk
    package var names: any NameTransport
    package var tls: any TLSProvider
    package var random: any RandomSource
    /// Random bits that are hard to guess: for nonces.
    package var secrets: any RandomSource
    /// The configuration's other files.
    package var files: any Files
    package var workers: any Workers
    /// Programs that the configuration names.
    package var programs: any Programs
    package var events: any EventSink
    /// What a clock on this machine's wall shows at a time; its zone's, or UTC.
    package var localTime: @Sendable (WallTime) -> WallTime
    /// This machine's addresses.
    package var localNetworks: [NetworkPrefix]
    /// The bytes of the system's table of host names (`/etc/hosts`).
    package var hostTable: [UInt8]
    /// Descriptors the process may have.
    package var descriptors: Int
    package var program: ProgramFacts
    /// Only the simulated world sets any.
    package var rarePaths: RarePaths

    package init(
        loops: [Loop],
        disk: any Disk,
        names: any NameTransport,
        tls: any TLSProvider = NoTLS(),
        random: any RandomSource,
        secrets: any RandomSource,
        files: any Files,
        workers: any Workers,
        programs: any Programs = NoPrograms(),
        events: any EventSink,
        localTime: @escaping @Sendable (WallTime) -> WallTime = { $0 },
        localNetworks: [NetworkPrefix] = [],
        hostTable: [UInt8] = [],
        descriptors: Int = .max,
        program: ProgramFacts = ProgramFacts(),
        rarePaths: RarePaths = RarePaths()
    ) {
        self.loops = loops
        self.disk = disk
        self.names = names
        self.tls = tls
        self.random = random
        self.secrets = secrets
        self.files = files
        self.workers = workers
        self.programs = programs
        self.events = events
        self.localTime = localTime
        self.localNetworks = localNetworks
        self.hostTable = hostTable
        self.descriptors = descriptors
        self.program = program
        self.rarePaths = rarePaths
    }
}

/// Switches that make the odd paths of the production code the usual ones: segments that are full
/// at once, a cache that holds nothing, bodies that are large from the start.
package struct RarePaths: Sendable {
    package var segmentBytes: Int?
    package var largeMessageBytes: Int?
    package var cacheBytes: Int?
    package var guardInterval: Duration?
    /// Live messages are moved out of the oldest segment whatever it costs, with this pause between.
    package var eagerReclaimRest: Duration?

    package init() {}

    func apply(to spool: inout SpoolSettings) {
        if let segmentBytes { spool.segmentBytes = segmentBytes }
        if let largeMessageBytes { spool.largeMessageBytes = largeMessageBytes }
        if let cacheBytes { spool.cacheBytes = cacheBytes }
        if let guardInterval { spool.guardInterval = guardInterval }
        if let eagerReclaimRest {
            spool.reclaimsEagerly = true
            spool.eagerReclaimRest = eagerReclaimRest
        }
    }
}

/// What `ekiden status` says of the program itself.
package struct ProgramFacts: Sendable {
    package var version: String
    package var processID: Int
    /// nil: it runs on defaults.
    package var configurationFile: String?

    package init(version: String = "", processID: Int = 0, configurationFile: String? = nil) {
        self.version = version
        self.processID = processID
        self.configurationFile = configurationFile
    }
}
