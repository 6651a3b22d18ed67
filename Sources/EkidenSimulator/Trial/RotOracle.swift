// Worlds in which bits rot where they lie. No promise of durability can be kept there; what is
// promised instead: nothing rotten is ever sent, the relay starts and goes on, and of what is lost
// or held the log tells.

import EkidenMail
import EkidenRelay

/// What the log said of damage.
struct ToldDamage {
    /// Messages named as damaged.
    var messages: Set<String> = []
    /// Something was lost of which not even the name was left.
    var hasNameless = false

    mutating func heed(_ event: Event) {
        switch event {
        case .attempt(let attempt):
            if attempt.reason == .damaged { messages.insert(attempt.id.text) }
        case .notice(let notice):
            if let id = notice.id, notice.text.contains("stored bytes") {
                messages.insert(id.text)
            } else if notice.text.contains("is damaged: ") {
                let words = notice.text.split(separator: " ")
                if words.count > 1 { messages.insert(String(words[1])) }
            } else if ["can't be read from byte", "torn write", "nothing in it can be read"]
                .contains(where: notice.text.contains)
            {
                hasNameless = true
            }
        default: break
        }
    }
}

extension Town {
    /// Whether bits rot in this world, from some time on.
    var isRotten: Bool { plan.rotOneIn > 0 }

    /// The log told why this has no end.
    func isToldDamaged(_ place: Place) -> Bool {
        let damage = ledger.damage
        return damage.hasNameless || damage.messages.contains(place.id)
            // Its report is what rotted.
            || damage.messages.contains { ledger.subjects[$0] == place.id }
    }

    /// Nothing is left in the queue but what waits, damaged, for an operator.
    func isAtRest(_ relay: Relay) -> Bool {
        if relay.queueLength == 0 { return true }
        return isRotten && relay.queue.allSatisfy { ledger.damage.messages.contains($0.id.text) }
    }
}
