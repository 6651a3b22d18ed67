// Values that many messages share, each kept once: domains of addresses, origins. Counted, so that the
// table shrinks with the queue.

struct CountedTable<Key: Hashable, Value> {
    private struct Entry {
        var key: Key
        var value: Value
        var uses: Int
    }
    /// Those without uses keep their last value until their number is used again.
    private var entries: [Entry] = []
    private var numbers: [Key: UInt32] = [:]
    private var free: [UInt32] = []

    /// The value's number, from 0 on.
    mutating func take(_ value: Value, as key: Key) -> UInt32 {
        if let number = numbers[key] {
            entries[Int(number)].uses += 1
            return number
        }
        let number: UInt32
        if let reused = free.popLast() {
            number = reused
            entries[Int(number)] = Entry(key: key, value: value, uses: 1)
        } else {
            number = UInt32(entries.count)
            entries.append(Entry(key: key, value: value, uses: 1))
        }
        numbers[key] = number
        return number
    }

    mutating func release(_ number: UInt32) {
        entries[Int(number)].uses -= 1
        guard entries[Int(number)].uses == 0 else { return }
        numbers[entries[Int(number)].key] = nil
        free.append(number)
    }

    subscript(number: UInt32) -> Value { entries[Int(number)].value }

    /// Texts of more than 15 bytes, which Swift keeps elsewhere, count with 64.
    var footprintBytes: Int {
        entries.capacity * MemoryLayout<Entry>.stride
            + numbers.capacity * (MemoryLayout<Key>.stride + 4) + numbers.count * 64
    }
}
