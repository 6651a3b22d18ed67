// Domains of queued addresses, each kept once however many addresses have it. Counted, so that the
// table shrinks with the queue.

import EkidenMail

struct DomainTable {
    private struct Entry {
        var domain: Domain
        var uses: Int
    }
    private var entries: [Entry] = []
    private var numbers: [String: UInt32] = [:]
    private var free: [UInt32] = []

    /// Numbers begin at 0; the text as written counts, not the folded one.
    mutating func take(_ domain: Domain) -> UInt32 {
        if let number = numbers[domain.text] {
            entries[Int(number)].uses += 1
            return number
        }
        let number: UInt32
        if let reused = free.popLast() {
            number = reused
            entries[Int(number)] = Entry(domain: domain, uses: 1)
        } else {
            number = UInt32(entries.count)
            entries.append(Entry(domain: domain, uses: 1))
        }
        numbers[domain.text] = number
        return number
    }

    mutating func release(_ number: UInt32) {
        entries[Int(number)].uses -= 1
        guard entries[Int(number)].uses == 0 else { return }
        numbers[entries[Int(number)].domain.text] = nil
        entries[Int(number)].domain = Domain("")
        free.append(number)
    }

    subscript(number: UInt32) -> Domain { entries[Int(number)].domain }

    var footprintBytes: Int {
        entries.capacity * MemoryLayout<Entry>.stride
            + numbers.capacity * (MemoryLayout<String>.stride + 4)
            + numbers.keys.reduce(0) { $0 + ($1.utf8.count > 15 ? $1.utf8.count + 32 : 0) * 2 }
    }
}
