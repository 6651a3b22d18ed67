// One session with a site: takes jobs while there are any, keeps its connection from one to the
// next, and reports each job before it asks for another. What an attempt does with hosts and
// addresses is in Attempt.swift, what it says to one host in Transaction.swift.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

package struct DeliverySession: ~Copyable {
    let loop: Loop
    let door: any DeliveryDoor
    let settings: DeliverySettings
    let random: any RandomSource
    let crew: SessionCrew
    let brokenTLS: BrokenTLS
    /// The connection kept from the last job, if the peer left it usable.
    var peer: PeerConnection?

    /// From a task of `loop`.
    package init(
        loop: Loop,
        door: any DeliveryDoor,
        settings: DeliverySettings,
        random: any RandomSource,
        crew: SessionCrew,
        brokenTLS: BrokenTLS = BrokenTLS()
    ) {
        self.loop = loop
        self.door = door
        self.settings = settings
        self.random = random
        self.crew = crew
        self.brokenTLS = brokenTLS
        peer = nil
    }

    /// Works until there is no job left for as long as a connection may idle.
    package mutating func run() async {
        while let assignment = await door.nextJob(isConnected: peer != nil) {
            let report = await attempt(assignment)
            await door.finished(report)
        }
        await hangUp()
    }

    /// Ends the connection politely, if there is one.
    mutating func hangUp() async {
        guard var last = peer.take() else { return }
        await last.quit()
        _ = consume last
    }
}
