// Storage for a million small records: flat arrays addressed by 32-bit numbers, with the numbers
// of removed records used again. Everything in the scheduler points at everything else by such
// numbers, so that a queued message costs tens of bytes and no object of its own.

/// "No record": the end of a chain, an empty reference.
let none = UInt32.max

/// Records in one array; a removed record's number is given out again.
struct Pool<Element> {
    private(set) var items: [Element] = []
    private var free: [UInt32] = []

    /// Records in use.
    var count: Int { items.count - free.count }

    mutating func reserve(_ n: Int) { items.reserveCapacity(n) }

    mutating func insert(_ element: Element) -> UInt32 {
        if let number = free.popLast() {
            items[Int(number)] = element
            return number
        }
        items.append(element)
        return UInt32(items.count - 1)
    }

    /// The number may be given out again; `vacant` takes the record's place until then.
    mutating func remove(_ number: UInt32, leaving vacant: Element) {
        items[Int(number)] = vacant
        free.append(number)
    }

    subscript(number: UInt32) -> Element {
        // Yields in place: a copy would retain every reference of the record.
        _read { yield items[Int(number)] }
        _modify { yield &items[Int(number)] }
    }
}

/// Head and tail of a list whose links lie in a `Links` table.
struct Chain {
    var head = none
    var tail = none
    var count: UInt32 = 0

    var isEmpty: Bool { count == 0 }
}

/// The links of doubly linked lists over the numbers of one pool. A number is in at most one chain
/// of one table at a time; every step is O(1).
struct Links {
    private struct Node {
        var next = none
        var previous = none
    }
    private var nodes: [Node] = []

    mutating func reserve(_ n: Int) { nodes.reserveCapacity(n) }

    func next(after number: UInt32) -> UInt32 { nodes[Int(number)].next }

    private mutating func makeRoom(_ number: UInt32) {
        while nodes.count <= Int(number) { nodes.append(Node()) }
    }

    mutating func append(_ number: UInt32, to chain: inout Chain) {
        makeRoom(number)
        nodes[Int(number)] = Node(next: none, previous: chain.tail)
        if chain.tail == none { chain.head = number } else { nodes[Int(chain.tail)].next = number }
        chain.tail = number
        chain.count += 1
    }

    mutating func prepend(_ number: UInt32, to chain: inout Chain) {
        makeRoom(number)
        nodes[Int(number)] = Node(next: chain.head, previous: none)
        if chain.head == none {
            chain.tail = number
        } else {
            nodes[Int(chain.head)].previous = number
        }
        chain.head = number
        chain.count += 1
    }

    mutating func remove(_ number: UInt32, from chain: inout Chain) {
        let node = nodes[Int(number)]
        if node.previous == none {
            chain.head = node.next
        } else {
            nodes[Int(node.previous)].next = node.next
        }
        if node.next == none {
            chain.tail = node.previous
        } else {
            nodes[Int(node.next)].previous = node.previous
        }
        nodes[Int(number)] = Node()
        chain.count -= 1
    }

    /// Moves the first to the end: the turn goes on to the next.
    mutating func rotate(_ chain: inout Chain) {
        if chain.count < 2 { return }
        let first = chain.head
        remove(first, from: &chain)
        append(first, to: &chain)
    }
}
