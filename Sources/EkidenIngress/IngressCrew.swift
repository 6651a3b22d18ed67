// All sessions of all listeners: starts them on the loop with the fewest, and ends them when the
// relay stops. Shared by all loops.

import EkidenMail
import EkidenRuntime
import Synchronization

package final class IngressCrew: Sendable {
    private struct Roll {
        /// Sessions per loop.
        var perLoop: [Int]
        /// Handles of open connections, per loop.
        var open: [Set<Handle>]
        var isStopping = false
    }

    private let loops: [Loop]
    private let door: any IngressDoor
    private let events: any EventSink
    private let logins: Logins?
    package let rates: RateDesk
    private let roll: Mutex<Roll>
    /// Sessions of all listeners together; the process has descriptors for no more.
    private let sessionsMax: Int
    /// Clients over all listeners: one that listeners grant many slots each still leaves some of the
    /// process's descriptors to others.
    private let house = ConnectionLedger()
    private let houseBounds: ConnectionLedger.Bounds

    package init(
        loops: [Loop],
        door: any IngressDoor,
        events: any EventSink,
        logins: Logins? = nil,
        rates: RateDesk = RateDesk(),
        sessionsMax: Int = .max,
        sessionsPerClientMax: Int = .max
    ) {
        houseBounds = ConnectionLedger.Bounds(total: sessionsMax, perClient: sessionsPerClientMax)
        self.loops = loops
        self.sessionsMax = sessionsMax
        self.door = door
        self.events = events
        self.logins = logins
        self.rates = rates
        roll = Mutex(
            Roll(
                perLoop: Array(repeating: 0, count: loops.count),
                open: Array(repeating: [], count: loops.count)
            )
        )
    }

    /// Open sessions.
    package var count: Int { roll.withLock { $0.perLoop.reduce(0, +) } }

    /// Starts a session for a connection just accepted.
    func take(_ socket: AcceptedSocket, terms: ListenerTerms, ledger: ConnectionLedger) {
        let (loop, isFull) = roll.withLock { roll in
            let isFull = roll.perLoop.reduce(0, +) >= sessionsMax
            let index = roll.perLoop.indices.min { roll.perLoop[$0] < roll.perLoop[$1] } ?? 0
            roll.perLoop[index] += 1
            return (loops[index], isFull)
        }
        let peer = socket.peer.address
        let full = ConnectionLedger.Verdict.tooMany(limit: sessionsMax)
        // Behind a balancer limits are the client's, who is not known yet.
        let early: ConnectionLedger.Verdict? =
            isFull
            ? full : terms.policy.isProxy(peer) ? nil : enter(peer, terms, ledger)
        loop.spawn {
            let end = await self.serve(socket, on: loop, terms, ledger, early)
            self.leave(end.handle, on: loop)
            if let client = end.admitted {
                ledger.leave(client, terms)
                self.house.leave(client, self.houseBounds)
            }
        }
    }

    /// Counts a client in at its listener and in the house, or at neither.
    @inline(never)
    private func enter(
        _ client: HostAddress,
        _ terms: ListenerTerms,
        _ ledger: ConnectionLedger
    ) -> ConnectionLedger.Verdict {
        let inHouse = house.enter(client, houseBounds)
        guard inHouse == .admitted else { return inHouse }
        let verdict = ledger.enter(client, terms)
        if verdict != .admitted { house.leave(client, houseBounds) }
        return verdict
    }

    /// A session from its first byte to its last; its connection is closed on return.
    /// - Parameter early: what the ledger said; nil when it is to be asked about a balancer's client.
    /// - Returns: whom the ledger is to forget, if it counted somebody.
    @inline(never)
    private func serve(
        _ socket: AcceptedSocket,
        on loop: Loop,
        _ terms: ListenerTerms,
        _ ledger: ConnectionLedger,
        _ early: ConnectionLedger.Verdict?
    ) async -> (handle: Handle, admitted: HostAddress?) {
        let session = open(socket, on: loop, terms)
        defer { Self.close(session) }
        let handle = session.pointee.handle
        var admitted = early == .admitted ? socket.peer.address : nil
        guard join(handle, on: loop) else {
            await session.pointee.turnAway()
            return (handle, admitted)
        }
        if let early, !terms.isProxy(socket.peer.address) {
            await session.pointee.run(early)
        } else if let client = await session.pointee.readProxyHeader() {
            let verdict = early ?? enter(client, terms, ledger)
            if verdict == .admitted { admitted = client }
            await session.pointee.run(verdict)
        }
        return (handle, admitted)
    }

    /// A session in memory of its own: within the frame of its task, which lasts as long, there would
    /// be room for it twice.
    @inline(never)
    private func open(
        _ socket: AcceptedSocket,
        on loop: Loop,
        _ terms: ListenerTerms
    ) -> UnsafeMutablePointer<IngressSession> {
        let session = UnsafeMutablePointer<IngressSession>.allocate(capacity: 1)
        session.initialize(
            to: IngressSession(
                Connection(adopting: socket, on: loop),
                terms: terms,
                door: door,
                events: events,
                logins: logins,
                rates: rates
            )
        )
        return session
    }

    @inline(never)
    private static func close(_ session: UnsafeMutablePointer<IngressSession>) {
        session.deinitialize(count: 1)
        session.deallocate()
    }

    /// Ends all sessions: those between commands with 421 (RFC 5321 §3.8), those within a message
    /// at once, for it was not acknowledged; a commit under way is finished and answered.
    package func stop() {
        roll.withLock { $0.isStopping = true }
        for loop in loops {
            loop.call {
                let open = self.roll.withLock { $0.open[loop.index].sorted() }
                for handle in open { loop.cancel(handle) }
            }
        }
    }

    package func report(_ level: EventLevel, _ text: String) {
        events.emit(.notice(.init(level, "listener", text)), at: loops[0].wallNow())
    }

    private func join(_ handle: Handle, on loop: Loop) -> Bool {
        roll.withLock { roll in
            if roll.isStopping { return false }
            roll.open[loop.index].insert(handle)
            return true
        }
    }

    private func leave(_ handle: Handle, on loop: Loop) {
        roll.withLock { roll in
            roll.open[loop.index].remove(handle)
            roll.perLoop[loop.index] -= 1
        }
    }
}
