// The ledger of what is queued: messages, their groups, and the recipients of each group. It knows
// nothing of times or connections; the scheduler moves groups about and asks it who they are.

import EkidenMail

/// Where a group is; the memory form of `Place`.
enum PlaceCode: UInt8 {
    /// The record is not in use.
    case vacant = 0
    /// In the due heap, or in its stream's chain.
    case waiting
    /// In a lane of its next hop: ready, or due and being resolved.
    case queued
    case inFlight
    case held
}

/// Recipients of one message that go to one next hop and share their due time.
struct Group {
    var message: UInt32
    var hop: UInt32
    /// Monotonic nanoseconds; while it waits or is held.
    var due: Int64 = 0
    /// The recipient's index, or the number of a list when `isList`.
    var members: UInt32
    /// Seconds on the monotonic clock when it came to its place.
    var since: UInt32 = 0
    var place = PlaceCode.waiting
    var reason = Reason.accepted
    var isList = false
    /// It was tried before (or found in the spool at start): no longer express.
    var wasTried = false
    /// It waits because its site failed, and comes forward when the site recovers.
    var isStalled = false
    /// It waits for its stream's rate, in that stream's chain and not in the due heap.
    var isPaced = false
}

struct MessageRecord {
    var id: QueueID
    var groups = Chain()
    var isHeld = false
    /// More recipients than one transaction takes.
    var isLarge = false
    /// As its `Standing` has it.
    var isUrgent = false
    var stream: UInt16 = 0
    var share: UInt32 = 0
}

/// Open addressing from queue id to message number; holds numbers only, the ids are in the records.
struct MessageTable {
    private var slots: [UInt32] = Array(repeating: none, count: 1024)
    private var used = 0

    private static func hash(_ id: QueueID) -> Int {
        Int(truncatingIfNeeded: (id.number &* 0x9e37_79b9_7f4a_7c15) >> 20)
    }

    mutating func reserve(_ n: Int, _ messages: Pool<MessageRecord>) {
        var size = slots.count
        while size < n * 2 { size *= 2 }
        if size > slots.count { rehash(size, messages) }
    }

    func find(_ id: QueueID, _ messages: Pool<MessageRecord>) -> UInt32? {
        let mask = slots.count - 1
        var i = Self.hash(id) & mask
        while slots[i] != none {
            if messages[slots[i]].id == id { return slots[i] }
            i = (i + 1) & mask
        }
        return nil
    }

    mutating func insert(_ number: UInt32, _ messages: Pool<MessageRecord>) {
        if (used + 1) * 2 > slots.count { rehash(slots.count * 2, messages) }
        place(number, messages[number].id)
        used += 1
    }

    private mutating func place(_ number: UInt32, _ id: QueueID) {
        let mask = slots.count - 1
        var i = Self.hash(id) & mask
        while slots[i] != none { i = (i + 1) & mask }
        slots[i] = number
    }

    private mutating func rehash(_ size: Int, _ messages: Pool<MessageRecord>) {
        let old = slots
        slots = Array(repeating: none, count: size)
        for number in old where number != none { place(number, messages[number].id) }
    }

    /// Closes the gap behind the removed entry, so that no tombstones pile up.
    mutating func remove(_ number: UInt32, _ messages: Pool<MessageRecord>) {
        let mask = slots.count - 1
        var hole = Self.hash(messages[number].id) & mask
        while slots[hole] != number {
            if slots[hole] == none { return }
            hole = (hole + 1) & mask
        }
        var i = hole
        while true {
            i = (i + 1) & mask
            if slots[i] == none { break }
            let home = Self.hash(messages[slots[i]].id) & mask
            if (i &- home) & mask >= (i &- hole) & mask {
                slots[hole] = slots[i]
                hole = i
            }
        }
        slots[hole] = none
        used -= 1
    }
}

struct Ledger {
    private(set) var messages = Pool<MessageRecord>()
    var groups = Pool<Group>()
    private var table = MessageTable()
    /// Links of the groups of one message.
    private var ofMessage = Links()
    /// Recipients of groups with more than one, last first, so that taking from the front is cheap.
    private var lists = Pool<[UInt32]>()

    mutating func reserve(_ n: Int) {
        messages.reserve(n)
        groups.reserve(n)
        ofMessage.reserve(n)
        table.reserve(n, messages)
    }

    func find(_ id: QueueID) -> UInt32? { table.find(id, messages) }

    /// Nil when the message is known already.
    mutating func addMessage(_ id: QueueID, isLarge: Bool) -> UInt32? {
        guard find(id) == nil else { return nil }
        let number = messages.insert(MessageRecord(id: id, isLarge: isLarge))
        table.insert(number, messages)
        return number
    }

    /// `recipients` in ascending order, at least one.
    mutating func addGroup(message: UInt32, hop: UInt32, recipients: [UInt32]) -> UInt32 {
        var group = Group(message: message, hop: hop, members: recipients[0])
        if recipients.count > 1 {
            group.isList = true
            group.members = lists.insert(recipients.reversed())
        }
        let number = groups.insert(group)
        ofMessage.append(number, to: &messages[message].groups)
        return number
    }

    /// Removes the group; true when it was the message's last, which is then gone too.
    mutating func removeGroup(_ number: UInt32) -> Bool {
        let group = groups[number]
        if group.isList { lists.remove(group.members, leaving: []) }
        ofMessage.remove(number, from: &messages[group.message].groups)
        groups.remove(number, leaving: Group(message: none, hop: none, members: 0, place: .vacant))
        guard messages[group.message].groups.isEmpty else { return false }
        table.remove(group.message, messages)
        messages.remove(group.message, leaving: MessageRecord(id: QueueID(number: 0)))
        return true
    }

    func recipientCount(_ number: UInt32) -> Int {
        let group = groups[number]
        return group.isList ? lists[group.members].count : 1
    }

    /// In ascending order.
    func recipients(_ number: UInt32) -> [UInt32] {
        let group = groups[number]
        return group.isList ? lists[group.members].reversed() : [group.members]
    }

    mutating func setRecipients(_ number: UInt32, _ recipients: [UInt32]) {
        let group = groups[number]
        if group.isList { lists.remove(group.members, leaving: []) }
        groups[number].isList = recipients.count > 1
        groups[number].members =
            recipients.count > 1 ? lists.insert(recipients.reversed()) : recipients[0]
    }

    /// Takes the first `count` recipients out of a larger group into one of their own.
    mutating func split(_ number: UInt32, first count: Int) -> UInt32 {
        let group = groups[number]
        let taken = Array(lists[group.members].suffix(count).reversed())
        lists[group.members].removeLast(count)
        if lists[group.members].count == 1 { setRecipients(number, [lists[group.members][0]]) }
        let part = addGroup(message: group.message, hop: group.hop, recipients: taken)
        groups[part].due = group.due
        groups[part].since = group.since
        groups[part].place = group.place
        groups[part].reason = group.reason
        groups[part].wasTried = group.wasTried
        return part
    }

    mutating func setStanding(
        _ message: UInt32,
        share: UInt32,
        _ isUrgent: Bool,
        stream: UInt16
    ) {
        messages[message].share = share
        messages[message].isUrgent = isUrgent
        messages[message].stream = stream
    }

    mutating func setHeld(_ message: UInt32, _ held: Bool) { messages[message].isHeld = held }

    func firstGroup(of message: UInt32) -> UInt32 { messages[message].groups.head }
    func group(after number: UInt32) -> UInt32 { ofMessage.next(after: number) }

    /// The message's groups, for an operator's action or question.
    func groupNumbers(of message: UInt32) -> [UInt32] {
        var numbers: [UInt32] = []
        var number = firstGroup(of: message)
        while number != none {
            numbers.append(number)
            number = group(after: number)
        }
        return numbers
    }

    /// The next search among the message's groups begins one further on.
    mutating func rotateGroups(of message: UInt32) { ofMessage.rotate(&messages[message].groups) }
}
