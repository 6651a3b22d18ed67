// Networks with something to say about each, asked by address. A look-up costs one hash for each
// length of network in use, however many networks there are. Used by lists of clients and by
// allowances; never iterated in a decision.

import EkidenMail

struct NetworkTable<Value: Sendable>: Sendable {
    private var values: [NetworkPrefix: Value] = [:]
    /// Lengths in use with how many networks have them, the longest first.
    private var lengths4: [(length: Int, count: Int)] = []
    private var lengths6: [(length: Int, count: Int)] = []

    var isEmpty: Bool { values.isEmpty }
    var count: Int { values.count }

    /// In the order of their addresses, the wider network first.
    var all: [(network: NetworkPrefix, value: Value)] {
        values.map { ($0, $1) }
            .sorted { ($0.0.base, $0.0.length) < ($1.0.base, $1.0.length) }
    }

    subscript(network: NetworkPrefix) -> Value? {
        get { values[network] }
        set {
            let was = values[network] != nil
            values[network] = newValue
            let change = (newValue == nil ? 0 : 1) - (was ? 1 : 0)
            if change == 0 { return }
            if network.base.isV4 {
                Self.note(network.length, change, in: &lengths4)
            } else {
                Self.note(network.length, change, in: &lengths6)
            }
        }
    }

    private static func note(
        _ length: Int,
        _ change: Int,
        in lengths: inout [(length: Int, count: Int)]
    ) {
        if let index = lengths.firstIndex(where: { $0.length == length }) {
            lengths[index].count += change
            if lengths[index].count == 0 { lengths.remove(at: index) }
            return
        }
        let place = lengths.firstIndex { $0.length < length } ?? lengths.endIndex
        lengths.insert((length, change), at: place)
    }

    /// The narrowest network with that address for which `isMeant` holds.
    func match(
        _ address: HostAddress,
        where isMeant: (Value) -> Bool = { _ in true }
    ) -> NetworkPrefix? {
        if values.isEmpty { return nil }
        for (length, _) in address.isV4 ? lengths4 : lengths6 {
            let network = NetworkPrefix(of: address, length: length)
            if let value = values[network], isMeant(value) { return network }
        }
        return nil
    }

    /// Forgets those for which `isGone` holds.
    mutating func remove(where isGone: (Value) -> Bool) {
        for (network, _) in values.filter({ isGone($0.value) }) { self[network] = nil }
    }
}
